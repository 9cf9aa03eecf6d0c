"""A node of the network: its ID and the addresses of its tunnels. Source: spec/agent.md 4."""

from __future__ import annotations

from contivpp.model.codec import Record


class VppNode(Record, frozen=True):
    """`ip_addresses` are with prefix length; `ip_address` is what older agents wrote."""

    id: int = 0
    name: str = ""
    ip_address: str = ""
    ip_addresses: tuple[str, ...] = ()

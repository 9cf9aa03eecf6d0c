"""Small questions about addresses that the renderers of every data plane ask.

Answers are remembered: a resync asks several times about every address of the cluster, and parsing them is most of it.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import Final

from contivpp.agent.view import OwnNode, RemoteNode

_REMEMBERED: Final = 16384


@functools.lru_cache(_REMEMBERED)
def ip_of(address: str) -> str:
    """An address without its prefix length."""
    return str(ipaddress.ip_interface(address).ip)


def version_of(address: str) -> int:
    """The IP version of an address, with or without prefix length."""
    return 6 if ":" in address else 4


@functools.lru_cache(_REMEMBERED)
def only(address: object) -> str:
    """The subnet that holds one address and no other."""
    return str(ipaddress.ip_network(str(address)))


def address_of(node: RemoteNode | OwnNode, version: int) -> str:
    """The first address of a node in an IP version, without prefix length; "" for none."""
    return next((ip_of(address) for address in node.addresses if version_of(address) == version), "")


def far_end(node: RemoteNode, own: OwnNode) -> str:
    """Where a tunnel from this node to another one ends: in the IP version of its near end; "" for nowhere."""
    return address_of(node, version_of(own.addresses[0]))

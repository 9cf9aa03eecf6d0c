"""Names of a pod's interfaces. Source: spec/agent.md 8.1."""

from __future__ import annotations

from dataclasses import dataclass

from contivpp.dataplane.linux.values import Veth

_LOGICAL_LIMIT = 63
_KERNEL_LIMIT = 15


@dataclass(frozen=True, slots=True)
class PodNames:
    """Names of the node's end: `link` is the logical one, `host_interface` the kernel's."""

    link: str
    host_interface: str


@dataclass(frozen=True, slots=True)
class TapNames:
    """Names of a TAP: `interface` is VPP's end, `link` the logical one of the end in the pod."""

    interface: str
    link: str


def tap_names(container_id: str) -> TapNames:
    """The names of a sandbox's TAP; VPP's end is written into a tag, which has no room for a whole ID."""
    interface = f"vpp-tap-{container_id[:_KERNEL_LIMIT]}"
    return TapNames(interface, Veth.peer_link(f"linux-tap-{container_id}"[:_LOGICAL_LIMIT]))


def pod_names(container_id: str) -> PodNames:
    """The names that belong to a sandbox."""
    return PodNames(link=f"veth2-{container_id}"[:_LOGICAL_LIMIT], host_interface=container_id[:_KERNEL_LIMIT])

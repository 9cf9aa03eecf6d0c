"""Names of a pod's interfaces. Source: spec/agent.md 8.1."""

from __future__ import annotations

from dataclasses import dataclass

_LOGICAL_LIMIT = 63
_KERNEL_LIMIT = 15


@dataclass(frozen=True, slots=True)
class PodNames:
    """Names of the node's end: `link` is the logical one, `host_interface` the kernel's."""

    link: str
    host_interface: str


def pod_names(container_id: str) -> PodNames:
    """The names that belong to a sandbox."""
    return PodNames(link=f"veth2-{container_id}"[:_LOGICAL_LIMIT], host_interface=container_id[:_KERNEL_LIMIT])

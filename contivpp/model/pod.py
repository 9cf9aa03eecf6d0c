"""A Kubernetes pod, as far as the network needs it. Source: spec/cluster.md 1.4."""

from __future__ import annotations

from enum import StrEnum

from contivpp.model.codec import Record
from contivpp.model.labels import Label


class Protocol(StrEnum):
    """The transport protocols that the original knows; TCP is its zero value."""

    TCP = "TCP"
    UDP = "UDP"


class ContainerPort(Record, frozen=True):
    """A port that a container declares.

    The original has no word for SCTP: then `protocol` stays away and `sctp` says it.
    """

    name: str = ""
    host_port: int = 0
    container_port: int = 0
    protocol: Protocol = Protocol.TCP
    host_ip_address: str = ""
    sctp: bool = False

    @property
    def transport(self) -> str:
        """One of "TCP", "UDP", "SCTP"."""
        return "SCTP" if self.sctp else str(self.protocol)


class Container(Record, frozen=True):
    """A container and its declared ports."""

    name: str = ""
    port: tuple[ContainerPort, ...] = ()


class Pod(Record, frozen=True):
    """A pod.

    `ip_addresses` and `host_ip_addresses` hold all addresses of a dual-stack pod and are empty otherwise.
    `terminated` is true once all containers ended for good: its address is somebody else's soon.
    """

    name: str = ""
    namespace: str = ""
    label: tuple[Label, ...] = ()
    ip_address: str = ""
    host_ip_address: str = ""
    container: tuple[Container, ...] = ()
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}
    ip_addresses: tuple[str, ...] = ()
    host_ip_addresses: tuple[str, ...] = ()
    host_network: bool = False
    terminated: bool = False
    node_name: str = ""


def on_host_network(pod: Pod) -> bool:
    """Whether a pod uses its node's addresses; the original's records say it only by the address."""
    return pod.host_network or (bool(pod.ip_address) and pod.ip_address == pod.host_ip_address)

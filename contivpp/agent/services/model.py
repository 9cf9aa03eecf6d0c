"""What services mean, in words that every data plane understands.

A translation says for one address and port where its connections go. Connections of this node (its pods and its own
programs) go inside, all others outside: only they are bound to an external traffic policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Why a service answers at an address."""

    CLUSTER_IP = "cluster-ip"
    NODE_PORT = "node-port"
    EXTERNAL_IP = "external-ip"
    LOAD_BALANCER = "load-balancer"

    @property
    def is_external(self) -> bool:
        """Whether it is there for clients outside of the cluster."""
        return self is not Kind.CLUSTER_IP


class Empty(StrEnum):
    """What a connection meets when there is no backend for it."""

    REJECT = "reject"
    DROP = "drop"


@dataclass(frozen=True, slots=True, order=True)
class Frontend:
    """Where a service answers; `protocol` is "tcp", "udp" or "sctp"."""

    address: str
    protocol: str
    port: int
    kind: Kind

    @property
    def claim(self) -> Claim:
        """What no other service can have at the same time."""
        return self.address, self.protocol, self.port


Claim = tuple[str, str, int]
"""Address ("" for those of every node), protocol and port."""


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """One endpoint; `local`: it is on this node."""

    address: str
    port: int
    local: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """Where connections may go: any of `backends`, which are sorted."""

    backends: tuple[Backend, ...] = ()
    empty: Empty = Empty.REJECT


@dataclass(frozen=True, slots=True)
class Translation:
    """One frontend and what it leads to.

    Attributes:
        port_name: of the service's port; "" for the only one.
        outside: None when it is the same as `inside`.
        local: whether a traffic policy keeps connections to the backends of the node that they get to: all of a cluster
            IP, else those from elsewhere.
        sources: the subnets that may connect, sorted; empty for all.
        affinity: for how many seconds after its last connection a client keeps its backend; 0 for one connection.
    """

    frontend: Frontend
    port_name: str
    inside: Destination
    outside: Destination | None = None
    local: bool = False
    sources: tuple[str, ...] = ()
    affinity: int = 0


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What a load balancer asks at a port of the node: how many backends of a "namespace/name" are there."""

    service: str
    port: int
    local_backends: int


@dataclass(frozen=True, slots=True)
class Meaning:
    """Everything that a service means to a node.

    Attributes:
        problems: what of the service had to be left out, one sentence each.
    """

    translations: tuple[Translation, ...] = ()
    health: HealthCheck | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """The node whose translations are wanted; `addresses` are those of its node ports, without prefix length."""

    node: str
    zone: str = ""
    addresses: tuple[str, ...] = ()

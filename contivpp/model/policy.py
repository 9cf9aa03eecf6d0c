"""A Kubernetes NetworkPolicy. Source: spec/cluster.md 1.4."""

from __future__ import annotations

from enum import StrEnum

from contivpp.model.codec import Record
from contivpp.model.labels import Label, LabelSelector
from contivpp.model.pod import Protocol


class PolicyType(StrEnum):
    """Which directions a policy isolates; DEFAULT when Kubernetes was given none."""

    DEFAULT = "DEFAULT"
    INGRESS = "INGRESS"
    EGRESS = "EGRESS"
    INGRESS_AND_EGRESS = "INGRESS_AND_EGRESS"


class PortType(StrEnum):
    """Whether a port is a number or the name of a container's port."""

    NUMBER = "NUMBER"
    NAME = "NAME"


class PortNameOrNumber(Record, frozen=True):
    """A port."""

    type: PortType = PortType.NUMBER
    number: int = 0
    name: str = ""


class Port(Record, frozen=True):
    """What a rule allows; without `port` every port of the protocol.

    `end_port` (a range from `port`) and `sctp` are not in the original. A `protocol` that is none of `Protocol` is for
    the reader to refuse.
    """

    port: PortNameOrNumber | None = None
    protocol: str = Protocol.TCP
    end_port: int = 0
    sctp: bool = False

    @property
    def transport(self) -> str:
        """One of "TCP", "UDP", "SCTP"."""
        return "SCTP" if self.sctp else str(self.protocol)


class IPBlock(Record, frozen=True, rename={"except_": "except"}):
    """A subnet without some of its parts."""

    cidr: str = ""
    except_: tuple[str, ...] = ()


class Peer(Record, frozen=True):
    """Whom a rule speaks of: pods, namespaces, both (the pods in those namespaces), or a block."""

    pods: LabelSelector | None = None
    namespaces: LabelSelector | None = None
    ip_block: IPBlock | None = None


class IngressRule(Record, frozen=True, rename={"from_": "from"}):
    """Allowed towards the selected pods; no peers means from everywhere, no ports means all."""

    port: tuple[Port, ...] = ()
    from_: tuple[Peer, ...] = ()


class EgressRule(Record, frozen=True):
    """Allowed from the selected pods; no peers means to everywhere, no ports means all."""

    port: tuple[Port, ...] = ()
    to: tuple[Peer, ...] = ()


class Policy(Record, frozen=True):
    """A policy and the pods of its namespace that it selects."""

    name: str = ""
    namespace: str = ""
    label: tuple[Label, ...] = ()
    pods: LabelSelector | None = None
    policy_type: PolicyType = PolicyType.DEFAULT
    ingress_rule: tuple[IngressRule, ...] = ()
    egress_rule: tuple[EgressRule, ...] = ()

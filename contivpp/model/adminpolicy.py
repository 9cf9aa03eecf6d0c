"""AdminNetworkPolicy and BaselineAdminNetworkPolicy (policy.networking.k8s.io/v1alpha1). Not in the original."""

from __future__ import annotations

from contivpp.model.codec import Record
from contivpp.model.labels import LabelSelector


class AdminPort(Record, frozen=True):
    """A port, a range from `port` to `end_port`, or a port by its name, of any protocol."""

    protocol: str = "TCP"
    port: int = 0
    end_port: int = 0
    name: str = ""


class AdminPeer(Record, frozen=True):
    """Pods of the namespaces that match `namespaces`: all, or those that match `pods`; nodes; or networks.

    `unknown` says what was asked for that has no meaning here.
    """

    namespaces: LabelSelector | None = None
    pods: LabelSelector | None = None
    nodes: LabelSelector | None = None
    networks: tuple[str, ...] = ()
    unknown: str = ""


class AdminRule(Record, frozen=True):
    """What happens to connections from or to any of the peers; no ports means all."""

    name: str = ""
    action: str = ""
    peer: tuple[AdminPeer, ...] = ()
    port: tuple[AdminPort, ...] = ()


class AdminPolicy(Record, frozen=True):
    """A policy of the cluster's administrator; a lower `priority` comes first, and the baseline has none.

    Its subject are the pods of the namespaces that match `namespaces`: all, or those that match `pods`.
    """

    name: str = ""
    priority: int = 0
    namespaces: LabelSelector | None = None
    pods: LabelSelector | None = None
    ingress_rule: tuple[AdminRule, ...] = ()
    egress_rule: tuple[AdminRule, ...] = ()

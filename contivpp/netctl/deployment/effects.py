"""What packets notice of a change: the worst of what its services and settings bring, one sentence each.

What is not known to be harmless is not called so: a setting without an entry says that it is not known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from contivpp.netctl.deployment.plan import Change, Kind


class Level(IntEnum):
    """How much packets notice; larger is worse."""

    NONE = 0
    NEW_PODS = 1
    INTERRUPTED = 2
    ANEW = 3

    @property
    def text(self) -> str:
        """In a word or two."""
        return ("nothing", "new pods wait", "packets are lost", "pods have to be made anew")[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What packets of a host notice, and why."""

    host: str
    level: Level
    because: str


# By service and action.
_SERVICES: Final = {
    ("contiv-vpp", "restart"): (
        Level.INTERRUPTED,
        "VPP starts anew: nothing is forwarded until it is programmed",
    ),
    ("contiv-vpp", "stop"): (Level.INTERRUPTED, "VPP stops: nothing is forwarded any more"),
    ("contiv-vpp", "remove"): (Level.INTERRUPTED, "VPP goes: nothing is forwarded any more"),
    ("contiv-agent", "restart"): (Level.NEW_PODS, "the agent starts anew: packets go on, pods that come wait for it"),
    ("contiv-agent", "stop"): (Level.NEW_PODS, "the agent stops: packets go on, pods that come wait"),
    ("contiv-etcd", "restart"): (Level.NONE, "etcd starts anew: nodes go on with what they know"),
    ("contiv-ksr", "restart"): (Level.NONE, "KSR starts anew: what changes in Kubernetes arrives seconds later"),
}
_ADDRESSES: Final = (Level.ANEW, "subnets of pods change: pods that run keep addresses that are not the network's")
_WAY: Final = (Level.INTERRUPTED, "the way between nodes changes: packets are lost until every node has changed")
_TUNING: Final = (Level.NONE, "it is about what happens later, not about packets on their way")
# By setting of contiv.conf; the longest that a name begins with counts.
_SETTINGS: Final = {
    "ipamConfig.podSubnet": _ADDRESSES,
    "ipamConfig.vppHostSubnet": _WAY,
    "ipamConfig.contivCIDR": _ADDRESSES,
    "ipamConfig.vxlanCIDR": _WAY,
    "ipamConfig.nodeInterconnect": _WAY,
    "ipamConfig.defaultGateway": _WAY,
    "ipamConfig.serviceCIDR": (Level.INTERRUPTED, "services have other addresses: connections to the old ones end"),
    "nodeToNodeTransport": _WAY,
    "nodeConfig": (Level.INTERRUPTED, "the node's interfaces change: packets to and from it are lost meanwhile"),
    "mtuSize": (
        Level.INTERRUPTED,
        "the pods' MTU changes: larger packets are lost until both ends know",
    ),
    "natExternalTraffic": (Level.INTERRUPTED, "connections that leave the cluster get another source address"),
    "dataplane": (Level.ANEW, "another data plane: reset.yml has to come first"),
    "scanIPNeighbors": _TUNING,
    "ipNeighbor": _TUNING,
    "enablePacketTrace": _TUNING,
}


def effects(changes: Iterable[Change]) -> list[Effect]:
    """What packets notice on each host that changes; one effect per host and reason, the worst first."""
    found = {effect for change in changes for effect in [_effect(change)] if effect is not None}
    return sorted(found, key=lambda effect: (effect.host, -effect.level, effect.because))


def worst(found: Iterable[Effect]) -> Level:
    """The worst of them; NONE when there are none."""
    return max((effect.level for effect in found), default=Level.NONE)


def _effect(change: Change) -> Effect | None:
    if change.kind is Kind.NIC:
        known = _nic(change)
    elif change.kind is Kind.SERVICE:
        known = _SERVICES.get((change.subject, change.what))
    elif change.kind is Kind.SETTING and change.subject.endswith("/contiv.conf"):
        matches = [name for name in _SETTINGS if change.what.startswith(name)]
        known = _SETTINGS[max(matches, key=len)] if matches else (Level.INTERRUPTED, f"{change.what}: not known")
    else:
        known = None
    return None if known is None else Effect(host=change.host, level=known[0], because=known[1])


def _nic(change: Change) -> tuple[Level, str] | None:
    """What is lost with a NIC; nothing with one that carries nothing, or that changes hands at the next boot only."""
    if change.what in ("take", "next boot"):
        return None
    return (Level.INTERRUPTED, f"{change.subject} changes hands: packets by it are lost meanwhile")

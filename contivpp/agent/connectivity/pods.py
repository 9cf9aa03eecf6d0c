"""Connectivity of the pods of this node: one sandbox, one unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contivpp.agent.changes import Change, LocalPodChange, OwnNodeChange, WorldChange
from contivpp.agent.connectivity.renderer import ConnectivityRenderer
from contivpp.agent.view import View
from contivpp.model.keys import PodID


@dataclass(frozen=True, slots=True)
class LocalPodUnit:
    """One pod of this node."""

    pod: PodID


class LocalPodsFeature:
    """Every sandbox that the kubelet asked to connect."""

    name = "local-pods"

    def __init__(self, renderer: ConnectivityRenderer) -> None:
        """Takes the data plane's way to express it."""
        self._renderer = renderer

    def units(self, view: View) -> Iterable[LocalPodUnit]:
        """One unit per sandbox."""
        return (LocalPodUnit(pod) for pod in view.pods)

    def affected(self, change: Change, view: View) -> Iterable[LocalPodUnit]:
        """The pod itself; all of them when the node's ID changed and with it their gateway."""
        match change:
            case LocalPodChange(pod=pod):
                yield LocalPodUnit(pod)
            case OwnNodeChange() | WorldChange():
                yield from self.units(view)

    def render(self, unit: LocalPodUnit, view: View) -> Mapping[str, Any]:
        """Nothing once the sandbox is gone."""
        pod = view.pods.get(unit.pod)
        if pod is None or not view.own.id:
            return {}
        return self._renderer.local_pod(pod, view.own, view.plan)

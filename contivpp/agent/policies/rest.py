"""What netctl asks an agent about policies: which speak of its pods, whether they are in place, what is left out."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from contivpp.agent.controller import Controller
from contivpp.agent.policies.feature import PeerSetUnit, PodPoliciesUnit, PoliciesFeature
from contivpp.agent.refusals import Refusals
from contivpp.daemon.http import json_response
from contivpp.model import keys
from contivpp.model.keys import PodID
from contivpp.policies.explain import fingerprint, in_words
from contivpp.scheduler.state import IN_PLACE

_KINDS = ("policy", *keys.ADMIN_POLICIES)


class PolicyApi:
    """The routes of one node."""

    def __init__(self, controller: Controller, refusals: Refusals) -> None:
        """Takes the controller, and what is left out."""
        self._controller = controller
        self._refusals = refusals

    def routes(self) -> list[web.RouteDef]:
        """All routes, for the daemon's HTTP server."""
        return [
            web.get("/contiv/v1/policies", self.policies),
            web.get("/contiv/v1/policies/pods/{namespace}/{name}", self.pod),
        ]

    async def policies(self, request: web.Request) -> web.Response:
        """The local pods that policies speak of, and the policies that cannot be read as a whole."""
        index = self._controller.view.policies
        pods = [
            {
                "pod": str(pod),
                "policies": [f"{one.kind} {one.id}" for one in index.selecting(str(pod))],
                "waiting": self._waiting(pod),
            }
            for pod in sorted(self._controller.view.pods, key=str)
        ]
        refused = [one for one in self._refusals.as_json() if one["kind"] in _KINDS]
        return json_response({"pods": [one for one in pods if one["policies"] or one["waiting"]], "refused": refused})

    async def pod(self, request: web.Request) -> web.Response:
        """The tables of a local pod, line by line, and what tells them from others."""
        pod = PodID(name=request.match_info["name"], namespace=request.match_info["namespace"])
        view = self._controller.view
        if pod not in view.pods:
            return json_response({"Error": f"pod {pod} is not on node {view.own.name}"}, status=404)
        tables: dict[str, Any] = {str(way): lines for way, lines in in_words(view.policies, str(pod)).items()}
        return json_response(
            {
                "pod": str(pod),
                "fingerprint": fingerprint(view.policies, str(pod)),
                "tables": tables,
                "waiting": self._waiting(pod),
            }
        )

    def _waiting(self, pod: PodID) -> list[str]:
        """The keys of values that enforce the pod's tables, or the sets that those use, and are not in place."""
        controller = self._controller
        index, desired = controller.view.policies, controller.desired
        wanted = desired.keys_of(PoliciesFeature.name, PodPoliciesUnit(pod))
        for peers in sorted(set(index.tables(str(pod)).peer_sets()), key=lambda one: one.id):
            wanted += desired.keys_of(PoliciesFeature.name, PeerSetUnit(peers))
        return [key for key in dict.fromkeys(wanted) if controller.scheduler.state_of(key) not in IN_PLACE]

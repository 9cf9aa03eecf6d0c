"""Services over REST: what each means on this node and whether it is programmed, and which objects are left out."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from contivpp.agent.controller import Controller
from contivpp.agent.refusals import Refusals
from contivpp.agent.services.feature import ServicesFeature, ServiceUnit, meaning_of
from contivpp.agent.services.model import Destination, Translation
from contivpp.daemon.http import json_response
from contivpp.scheduler.state import ValueState

_DONE: Final = (ValueState.CONFIGURED, ValueState.OBTAINED)


class ServicesApi:
    """The routes of services, and of what is wrong with objects."""

    def __init__(self, controller: Controller, refusals: Refusals) -> None:
        """Takes the controller and what was refused."""
        self._controller = controller
        self._refusals = refusals

    def routes(self) -> list[web.RouteDef]:
        """All routes, for the daemon's HTTP server."""
        return [
            web.get("/contiv/v1/services", self.services),
            web.get("/contiv/v1/refusals", self.refusals),
        ]

    async def services(self, request: web.Request) -> web.Response:
        """Every service, or the one named by ?service=namespace/name, with its frontends and their backends.

        "problems" has what is not programmed by key, with the reason, and what of the service is left out.
        """
        wanted = request.query.get("service", "")
        names = sorted(f"{one.namespace}/{one.name}" for one in self._controller.view.records("service"))
        return json_response([self._service(name) for name in names if wanted in ("", name)])

    async def refusals(self, request: web.Request) -> web.Response:
        """Every object of the cluster that is left out, wholly or in part, with the reasons."""
        return json_response(self._refusals.as_json())

    def _service(self, name: str) -> dict[str, Any]:
        scheduler = self._controller.scheduler
        keys = self._controller.desired.keys_of(ServicesFeature.name, ServiceUnit(name))
        waiting = [f"{key}: {state}" for key in keys if (state := scheduler.state_of(key)) not in _DONE]
        found = meaning_of(name, self._controller.view)
        return {
            "service": name,
            "programmed": not waiting,
            "frontends": [_frontend(one) for one in found.translations],
            "problems": [*waiting, *self._refusals.of("service", name)],
        }


def _frontend(translation: Translation) -> dict[str, Any]:
    frontend = translation.frontend
    return {
        "address": frontend.address,
        "protocol": frontend.protocol,
        "port": frontend.port,
        "kind": str(frontend.kind),
        "portName": translation.port_name,
        "inside": _destination(translation.inside),
        "outside": None if translation.outside is None else _destination(translation.outside),
        "local": translation.local,
        "sources": list(translation.sources),
        "affinitySeconds": translation.affinity,
    }


def _destination(found: Destination) -> dict[str, Any]:
    return {
        "backends": [{"address": one.address, "port": one.port, "local": one.local} for one in found.backends],
        "empty": str(found.empty),
    }

"""The agent, put together: what it owns, and its root tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence

from aiohttp import web

from contivpp.agent.cluster import ClusterFollower
from contivpp.agent.cni.server import CniServer
from contivpp.agent.connectivity.linux import LinuxConnectivity
from contivpp.agent.connectivity.nodes import OwnNodeFeature, RemoteNodesFeature
from contivpp.agent.connectivity.pods import LocalPodsFeature
from contivpp.agent.controller import Controller
from contivpp.agent.desired import Desired
from contivpp.agent.events import HealingWanted, HostChanged
from contivpp.agent.external.config import ExternalConfig
from contivpp.agent.external.report import ExternalApi, Reporter
from contivpp.agent.external.server import ConfigServer
from contivpp.agent.external.sparing import SparingScheduler
from contivpp.agent.external.values import Catalogue
from contivpp.agent.feature import Feature
from contivpp.agent.identity import NodeIdentity
from contivpp.agent.pods.network import ControlledPodNetwork
from contivpp.agent.pods.registry import PodRegistry
from contivpp.agent.rest import NodeApi
from contivpp.agent.rest_controller import ControllerApi
from contivpp.agent.rest_scheduler import SchedulerApi
from contivpp.agent.settings import Settings
from contivpp.agent.view import OwnNode, View
from contivpp.daemon import tasks
from contivpp.daemon.http import Health, Server
from contivpp.dataplane.linux.plane import LinuxDataplane
from contivpp.model.controller_config import seconds
from contivpp.scheduler.retries import Retry
from contivpp.store.client import Store
from contivpp.store.mirror import Mirror

log = logging.getLogger(__name__)

_READINESS_PERIOD = 0.5


def features_of(renderer: LinuxConnectivity) -> Sequence[Feature]:
    """Everything that this agent can do."""
    return OwnNodeFeature(renderer), RemoteNodesFeature(renderer), LocalPodsFeature(renderer)


async def run(settings: Settings) -> int:
    """Runs the agent until a signal comes or a root task ends.

    Returns:
        The exit code.
    """
    for sentence in settings.config.without_effect():
        log.info("%s", sentence)
    health = Health()
    mirror = Mirror(settings.state_dir / "agent.db")
    plane = LinuxDataplane(settings.state_dir, netns=settings.netns)
    await plane.start()
    try:
        async with await Store.open(settings.etcd) as store:
            return await _run(settings, health, mirror, plane, store)
    finally:
        await plane.close()
        mirror.close()


async def _run(settings: Settings, health: Health, mirror: Mirror, plane: LinuxDataplane, store: Store) -> int:
    tuning = settings.controller
    renderer = LinuxConnectivity(mtu=settings.config.mtu_size)
    scheduler = SparingScheduler(
        plane.descriptors(),
        retry=Retry(
            delay=seconds(tuning.delay_retry), attempts=tuning.max_retry_attempts if tuning.enable_retry else 0
        ),
    )
    registry = PodRegistry(mirror.kept("pods"), mtu_of=lambda view: renderer.mtu(view.own))
    identity = NodeIdentity(store)
    external = ExternalConfig(
        Catalogue(plane.value_types(), plane.check), mirror.kept("external"), node_name=settings.node_name
    )
    view = View(settings.config, settings.config.plan, OwnNode(settings.node_name))
    registry.load(view)
    desired = scheduler.wants = Desired(features_of(renderer), external)
    controller = Controller(
        view=view,
        desired=desired,
        scheduler=scheduler,
        pods=registry,
        publish=identity.want,
        healing_delay=seconds(tuning.delay_after_error_healing),
    )
    etcd_away = ""

    def connected(reason: str) -> None:
        nonlocal etcd_away
        if reason and not etcd_away:
            log.warning("etcd is away, going on with what is known: %s", reason)
        elif etcd_away and not reason:
            log.info("etcd is back")
        etcd_away = reason

    follower = ClusterFollower(
        store,
        mirror,
        node_name=settings.node_name,
        push=controller.push,
        local_delay=seconds(tuning.delay_local_resync),
        connected=connected,
    )
    pods = ControlledPodNetwork(controller)
    cni = CniServer(pods, settings.cni_socket)
    await cni.start()
    reporter = Reporter(
        desired, scheduler, waiting=lambda: "" if controller.ready.is_set() else controller.why_not_ready()
    )
    config = ConfigServer(settings.config_socket, reporter, push=controller.push)
    await config.start()
    health.set("agent", controller.why_not_ready())
    routes = [*_routes(controller, plane), *ExternalApi(reporter).routes()]
    roots = {
        "cni": cni.run(),
        "external-config": config.run(),
        "http": Server(settings.http, health=health, routes=routes).run(),
        "scheduler": scheduler.run(),
        "controller": controller.run(),
        "identity": identity.run(),
        "host": _watch_host(plane, controller),
        "cluster": follower.run(),
        "readiness": _watch_readiness(controller, health),
    }
    if tuning.enable_periodic_healing:
        roots["healing"] = _heal_periodically(controller, seconds(tuning.periodic_healing_interval))
    return await tasks.run(roots)


def _routes(controller: Controller, plane: LinuxDataplane) -> list[web.RouteDef]:
    def resync(reason: str) -> Awaitable[None]:
        return controller.push(HealingWanted(reason))

    return [
        *NodeApi(controller, plane).routes(),
        *ControllerApi(controller).routes(),
        *SchedulerApi(controller.scheduler, resync=resync).routes(),
    ]


async def _watch_host(plane: LinuxDataplane, controller: Controller) -> None:
    async for addresses in plane.watch_host():
        await controller.push(HostChanged(addresses))


async def _watch_readiness(controller: Controller, health: Health) -> None:
    while not controller.ready.is_set():
        health.set("agent", controller.why_not_ready())
        await asyncio.sleep(_READINESS_PERIOD)
    health.set("agent", "")
    await asyncio.Event().wait()


async def _heal_periodically(controller: Controller, period: float) -> None:
    while True:
        await asyncio.sleep(period)
        await controller.push(HealingWanted("the period of healing"))

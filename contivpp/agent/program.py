"""The agent, put together: what it owns, and its root tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from contivpp.agent.cluster import ClusterFollower
from contivpp.agent.cni.server import CniServer
from contivpp.agent.connectivity.linux import LinuxConnectivity
from contivpp.agent.connectivity.nodes import OwnNodeFeature, RemoteNodesFeature
from contivpp.agent.connectivity.pods import LocalPodsFeature
from contivpp.agent.connectivity.renderer import ConnectivityRenderer
from contivpp.agent.connectivity.vpp import VppConnectivity
from contivpp.agent.controller import Controller
from contivpp.agent.desired import Desired
from contivpp.agent.etcd_probe import EtcdProbe
from contivpp.agent.event_history import EventHistory
from contivpp.agent.events import DataPlaneAppeared, DownstreamResyncWanted, HostChanged
from contivpp.agent.external.config import ExternalConfig
from contivpp.agent.external.report import ExternalApi, Reporter
from contivpp.agent.external.server import ConfigServer
from contivpp.agent.external.sparing import SparingScheduler
from contivpp.agent.external.values import Catalogue
from contivpp.agent.feature import Feature
from contivpp.agent.healing import HealingConfig
from contivpp.agent.identity import NodeIdentity
from contivpp.agent.node_config import NodeConfigSource
from contivpp.agent.pods.network import ControlledPodNetwork
from contivpp.agent.pods.registry import PodRegistry
from contivpp.agent.policies.feature import PoliciesFeature
from contivpp.agent.policies.linux import LinuxPolicies
from contivpp.agent.policies.renderer import PolicyRenderer
from contivpp.agent.recorder import Recorder
from contivpp.agent.rest import NodeApi
from contivpp.agent.rest_controller import ControllerApi
from contivpp.agent.rest_scheduler import SchedulerApi
from contivpp.agent.settings import Settings
from contivpp.agent.startup import Startup
from contivpp.agent.view import OwnNode, View
from contivpp.daemon import tasks
from contivpp.daemon.http import Health, Server
from contivpp.dataplane.linux.plane import LinuxDataplane
from contivpp.dataplane.linux.values import LinkName, link_name_key
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.model.config import ContivConfig
from contivpp.model.controller_config import ControllerConfig, seconds
from contivpp.scheduler.history import Limits
from contivpp.scheduler.retries import Retry
from contivpp.store.client import Store
from contivpp.store.mirror import Mirror

log = logging.getLogger(__name__)


class Renderer(ConnectivityRenderer, Protocol):
    """Connectivity on one data plane, and the MTU that it leaves to pods."""

    def mtu(self, own: OwnNode) -> int:
        """The MTU of pods in bytes; 0 unknown."""
        ...


def renderer_of(config: ContivConfig) -> Renderer:
    """How connectivity is expressed on the data plane that is configured."""
    if config.dataplane == "vpp":
        return VppConnectivity(
            main=config.main_vrf_id, pods=config.pod_vrf_id, overlay=config.has_overlay, mtu=config.mtu_size
        )
    return LinuxConnectivity(overlay=config.has_overlay, mtu=config.mtu_size)


def policies_of(config: ContivConfig) -> PolicyRenderer | None:
    """How policies are enforced on the data plane that is configured; None while there is no way."""
    return LinuxPolicies() if config.dataplane == "linux" else None


def features_of(renderer: ConnectivityRenderer, policies: PolicyRenderer | None = None) -> Sequence[Feature]:
    """Everything that this agent can do."""
    connectivity = (OwnNodeFeature(renderer), RemoteNodesFeature(renderer), LocalPodsFeature(renderer))
    return connectivity if policies is None else (*connectivity, PoliciesFeature(policies))


async def run(settings: Settings) -> int:
    """Runs the agent until a signal comes or a root task ends.

    Returns:
        The exit code.
    """
    for sentence in settings.config.without_effect():
        log.info("%s", sentence)
    mirror = Mirror(settings.state_dir / "agent.db")
    vpp = VppDataplane(settings.vpp_socket, link_key=link_name_key) if settings.config.dataplane == "vpp" else None
    plane = LinuxDataplane(settings.state_dir, netns=settings.netns, attaching=vpp is not None)
    await plane.start()
    try:
        async with await Store.open(settings.etcd) as store:
            return await _run(settings, mirror, plane, vpp, store)
    finally:
        await plane.close()
        mirror.close()


async def _run(
    settings: Settings, mirror: Mirror, plane: LinuxDataplane, vpp: VppDataplane | None, store: Store
) -> int:
    tuning = settings.controller
    renderer = renderer_of(settings.config)
    descriptors = [*plane.descriptors(), *(vpp.descriptors() if vpp is not None else ())]
    scheduler = SparingScheduler(descriptors, retry=retry_of(tuning), limits=_limits(tuning))
    registry = PodRegistry(mirror.kept("pods"), mtu_of=lambda view: renderer.mtu(view.own))
    identity = NodeIdentity(store)
    external = ExternalConfig(
        Catalogue(plane.value_types(), plane.check), mirror.kept("external"), node_name=settings.node_name
    )
    view = View(settings.config, settings.config.plan, OwnNode(settings.node_name))
    registry.load(view)
    recorder = Recorder(features_of(renderer, policies_of(settings.config)))
    desired = scheduler.wants = Desired(recorder.features, external)
    controller = Controller(
        view=view,
        desired=desired,
        scheduler=scheduler,
        pods=registry,
        node_config=NodeConfigSource(settings.config, settings.node_name, mirror.kept("nodeconfig")),
        publish=identity.want,
        recorder=recorder,
        history=EventHistory(
            recording=tuning.record_event_history,
            age_limit=tuning.event_history_age_limit,
            init_period=tuning.permanently_recorded_init_period,
        ),
        healing=HealingConfig(
            delay=seconds(tuning.delay_after_error_healing),
            period=seconds(tuning.periodic_healing_interval) if tuning.enable_periodic_healing else 0,
        ),
        verify=tuning.enable_verification,
        obstacle=(lambda: vpp.problem) if vpp is not None else (lambda: ""),
    )
    startup = Startup(controller, seconds(tuning.startup_resync_deadline))
    health = Health()
    health.ask("agent", controller.why_not_ready)
    health.ask("data plane", lambda: controller.healing.problem)
    health.ask_alive("controller", startup.why_not_alive)
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
        emptied=identity.reclaim,
    )
    pods = ControlledPodNetwork(controller)
    cni = CniServer(pods, settings.cni_socket)
    await cni.start()
    reporter = Reporter(desired, scheduler, waiting=controller.why_not_ready)
    config = ConfigServer(settings.config_socket, reporter, push=controller.push)
    await config.start()
    routes = [
        *_routes(controller, plane),
        *ControllerApi(controller, read_again=follower.read_again).routes(),
        *ExternalApi(reporter).routes(),
    ]
    roots = {
        "cni": cni.run(),
        "external-config": config.run(),
        "http": Server(settings.http, health=health, routes=routes).run(),
        "scheduler": scheduler.run(),
        "controller": controller.run(),
        "healing": controller.healing.run(),
        "startup": startup.run(),
        "identity": identity.run(),
        "host": _watch_host(plane, controller, attaching=vpp is not None),
        "cluster": follower.run(),
        "etcd-probe": EtcdProbe(store, seconds(tuning.remote_db_probing_interval)).run(),
    }
    if vpp is not None:
        health.ask("VPP", lambda: vpp.problem)
        roots |= {"vpp": vpp.run(), "vpp-appearance": _watch_vpp(vpp, controller)}
    return await tasks.run(roots)


def retry_of(tuning: ControllerConfig) -> Retry:
    """How the scheduler tries again what failed."""
    return Retry(
        delay=seconds(tuning.delay_retry),
        attempts=tuning.max_retry_attempts if tuning.enable_retry else 0,
        exponential=tuning.enable_exp_backoff_retry,
    )


def _limits(tuning: ControllerConfig) -> Limits:
    minute = 60.0
    return Limits(age=tuning.event_history_age_limit * minute, first=tuning.permanently_recorded_init_period * minute)


def _routes(controller: Controller, plane: LinuxDataplane) -> list[web.RouteDef]:
    async def resync(reason: str) -> int:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        await controller.push(DownstreamResyncWanted(reason, done))
        return await done

    return [
        *NodeApi(controller, plane).routes(),
        *SchedulerApi(controller.scheduler, resync=resync).routes(),
    ]


async def _watch_host(plane: LinuxDataplane, controller: Controller, *, attaching: bool) -> None:
    """Tells the controller of addresses, and once it is in sync the scheduler of links that come and go."""
    told: set[str] = set()
    gone: set[str] = set()
    async for addresses in plane.watch_host():
        await controller.push(HostChanged(addresses))
        if not attaching:
            continue
        names = {link for link, _, _ in addresses}
        if not controller.ready.is_set():
            gone |= names  # the first resync may or may not see them
            continue
        gone |= told
        news: dict[str, LinkName | None] = {link_name_key(name): None for name in gone - names}
        news |= {link_name_key(name): LinkName(name) for name in names - told}
        told, gone = names, set()
        if news:
            await controller.scheduler.notify(news)


async def _watch_vpp(vpp: VppDataplane, controller: Controller) -> None:
    while True:
        await vpp.ready.wait()
        vpp.ready.clear()
        await controller.push(DataPlaneAppeared("VPP"))

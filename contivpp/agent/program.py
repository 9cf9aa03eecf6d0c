"""The agent, put together: what it owns, and its root tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from contivpp.agent import watching
from contivpp.agent.cluster import ClusterFollower
from contivpp.agent.cni.server import CniServer
from contivpp.agent.connectivity.nodes import OwnNodeFeature, RemoteNodesFeature
from contivpp.agent.connectivity.pods import LocalPodsFeature
from contivpp.agent.connectivity.renderer import ConnectivityRenderer
from contivpp.agent.controller import Controller
from contivpp.agent.desired import Desired
from contivpp.agent.etcd_probe import EtcdProbe
from contivpp.agent.event_history import EventHistory
from contivpp.agent.events import DownstreamResyncWanted
from contivpp.agent.external.config import ExternalConfig
from contivpp.agent.external.report import ExternalApi, Reporter
from contivpp.agent.external.server import ConfigServer
from contivpp.agent.external.sparing import SparingScheduler
from contivpp.agent.external.values import catalogue_of
from contivpp.agent.feature import Feature
from contivpp.agent.healing import HealingConfig
from contivpp.agent.identity import NodeIdentity
from contivpp.agent.interface_metrics import INTERFACES
from contivpp.agent.node_config import NodeConfigSource
from contivpp.agent.pods.network import ControlledPodNetwork
from contivpp.agent.pods.registry import PodRegistry
from contivpp.agent.policies.feature import PoliciesFeature
from contivpp.agent.policies.renderer import PolicyRenderer
from contivpp.agent.policies.rest import PolicyApi
from contivpp.agent.recorder import Recorder
from contivpp.agent.refusals import Refusals
from contivpp.agent.rendering import policies_of, renderer_of, services_of
from contivpp.agent.rest import NodeApi
from contivpp.agent.rest_controller import ControllerApi
from contivpp.agent.rest_scheduler import SchedulerApi
from contivpp.agent.rest_services import ServicesApi
from contivpp.agent.rest_trace import TraceApi
from contivpp.agent.rest_vpp import VppApi
from contivpp.agent.services.feature import ServicesFeature
from contivpp.agent.services.renderer import ServicesRenderer
from contivpp.agent.settings import Settings
from contivpp.agent.startup import Startup
from contivpp.agent.stolen import StolenNic
from contivpp.agent.view import OwnNode, View
from contivpp.daemon import tasks
from contivpp.daemon.http import Health, Server
from contivpp.daemon.stn.client import StnClient
from contivpp.dataplane.linux.plane import LinuxDataplane
from contivpp.dataplane.linux.values import link_name_key
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.stats import VPP_METRICS
from contivpp.model.controller_config import ControllerConfig, seconds
from contivpp.scheduler.history import Limits
from contivpp.scheduler.retries import Retry
from contivpp.store.client import Store
from contivpp.store.mirror import Mirror

log = logging.getLogger(__name__)


def features_of(
    renderer: ConnectivityRenderer,
    services: ServicesRenderer | None = None,
    refusals: Refusals | None = None,
    *,
    policies: PolicyRenderer | None = None,
) -> Sequence[Feature]:
    """Everything that this agent can do."""
    features: list[Feature] = [OwnNodeFeature(renderer), RemoteNodesFeature(renderer), LocalPodsFeature(renderer)]
    if services is not None:
        features.append(ServicesFeature(services, refusals))
    if policies is not None:
        features.append(PoliciesFeature(policies, refusals))
    return features


async def run(settings: Settings) -> int:
    """Runs the agent until a signal comes or a root task ends.

    Returns:
        The exit code.
    """
    for sentence in settings.config.without_effect():
        log.info("%s", sentence)
    mirror = Mirror(settings.state_dir / "agent.db")
    vpp = None
    if settings.config.dataplane == "vpp":
        vpp = VppDataplane(settings.vpp_socket, link_key=link_name_key, stats_socket=settings.vpp_stats_socket)
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
    registry = PodRegistry(
        mirror.kept("pods"), mtu_of=lambda view: renderer.mtu(view.own), host_interface_of=renderer.host_interface
    )
    identity = NodeIdentity(store)
    catalogue = catalogue_of(plane) if vpp is None else catalogue_of(plane, vpp)
    external = ExternalConfig(catalogue, mirror.kept("external"), node_name=settings.node_name)
    view = View(settings.config, settings.config.plan, OwnNode(settings.node_name))
    registry.load(view)
    refusals = Refusals()
    stolen = StolenNic(StnClient(Path(settings.config.stn_socket_file)), settings.config.nic_to_steal)
    features = features_of(renderer, services_of(settings.config), refusals, policies=policies_of(settings.config))
    recorder = Recorder(features)
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
        nic_missing=stolen.why_not,
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
    INTERFACES.attach(view, vpp.interface_counters if vpp is not None else plane.interface_counters)
    VPP_METRICS.stats = vpp.stats if vpp is not None else None
    routes = [
        *_routes(controller, plane),
        *VppApi(controller, vpp).routes(),
        *TraceApi(controller, plane.tracer if vpp is None else vpp.tracer).routes(),
        *ControllerApi(controller, read_again=follower.read_again).routes(),
        *ExternalApi(reporter).routes(),
        *PolicyApi(controller, refusals).routes(),
        *ServicesApi(controller, refusals).routes(),
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
        "host": watching.host(plane, controller, attaching=vpp is not None),
        "cluster": follower.run(),
        "etcd-probe": EtcdProbe(store, seconds(tuning.remote_db_probing_interval)).run(),
    }
    if vpp is not None:
        health.ask("VPP", lambda: vpp.problem)
        roots |= {
            "vpp": vpp.run(),
            "vpp-appearance": watching.vpp(vpp, controller),
            "vpp-interfaces": watching.vpp_interfaces(vpp, controller),
            "vpp-leases": watching.vpp_leases(vpp, controller),
        }
    if settings.config.steals_nic:
        roots["stolen-nic"] = watching.stolen_nic(stolen, controller)
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

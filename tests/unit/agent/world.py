"""An agent without a machine: the real controller, features and scheduler over a data plane in memory.

The data plane keeps the dependencies of the real one's descriptors; only what touches the kernel is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contivpp.agent.connectivity.linux import LinuxConnectivity
from contivpp.agent.controller import Controller
from contivpp.agent.desired import Desired
from contivpp.agent.event_history import EventHistory
from contivpp.agent.events import ClusterChanged, ClusterRead, Event, HostChanged, PodAdded, PodDeleted
from contivpp.agent.healing import HealingConfig
from contivpp.agent.identity import Wanted
from contivpp.agent.node_config import NodeConfigSource
from contivpp.agent.pods.api import Attachment, Sandbox
from contivpp.agent.pods.registry import PodRegistry
from contivpp.agent.program import features_of
from contivpp.agent.recorder import Recorder
from contivpp.agent.view import OwnNode, View
from contivpp.dataplane.linux.plane import LinuxDataplane
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID
from contivpp.model.node import AddressType, Node, NodeAddress
from contivpp.model.vppnode import VppNode
from contivpp.scheduler.api import DONE, Dependency, Descriptor, Observed, Operation, OperationKind, Outcome
from contivpp.scheduler.retries import Retry
from contivpp.scheduler.scheduler import Scheduler

OWN = "node1"
CONFIG = ContivConfig.parse("crdNodeConfigurationDisabled: false", node_name=OWN)
NETNS = "/proc/self/ns/net"


@dataclass
class Plane:
    """What is in the data plane, and how it misbehaves.

    Attributes:
        batches: what descriptors were given, by name.
        refuse: prefixes of keys that no operation succeeds for.
        stuck: prefixes of keys that cannot be deleted.
        blind: prefixes of keys that cannot be read.
    """

    there: dict[str, Any] = field(default_factory=dict)
    batches: list[tuple[str, tuple[Operation, ...]]] = field(default_factory=list)
    operations: int = 0
    refuse: set[str] = field(default_factory=set)
    stuck: set[str] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)
    gate: asyncio.Event | None = None

    def mend(self) -> None:
        """All works again."""
        for broken in (self.refuse, self.stuck, self.blind):
            broken.clear()


class MemoryDescriptor:
    """One kind of value of the real data plane, in memory."""

    def __init__(self, plane: Plane, real: Descriptor) -> None:
        self._plane = plane
        self._real = real
        self.name = real.name
        self.prefix = real.prefix
        self.orders_itself = getattr(real, "orders_itself", False)

    def dependencies(self, key: str, value: Any) -> Iterable[Dependency]:
        return self._real.dependencies(key, value)

    def derived(self, key: str, value: Any) -> Mapping[str, Any]:
        return self._real.derived(key, value)

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        self._plane.batches.append((self.name, tuple(operations)))
        if self._plane.gate is not None:
            await self._plane.gate.wait()
        return [self._one(operation) for operation in operations]

    async def retrieve(self) -> Mapping[str, Observed]:
        if any(self.prefix.startswith(prefix) for prefix in self._plane.blind):
            raise OSError("cannot be read now")
        return {key: Observed(value) for key, value in self._plane.there.items() if key.startswith(self.prefix)}

    def _one(self, operation: Operation) -> Outcome:
        plane = self._plane
        if operation.key.startswith(tuple(plane.refuse)):
            return Outcome(error="refused")
        if operation.kind is OperationKind.DELETE and operation.key.startswith(tuple(plane.stuck)):
            return Outcome(error="stuck")
        plane.operations += 1
        if operation.kind is OperationKind.DELETE:
            plane.there.pop(operation.key, None)
        else:
            plane.there[operation.key] = operation.value
        return DONE


class Table(dict[str, bytes]):
    """The local file, in memory."""

    def load(self) -> Mapping[str, bytes]:
        return dict(self)

    def put(self, key: str, value: bytes) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


@dataclass
class World:
    """What surrounds an agent and outlives it, and the agent that runs now.

    Attributes:
        records: what etcd says, by kind and ID.
        host: the node's own addresses.
        now: what the clock shows, in seconds.
    """

    tmp: Any
    config: ContivConfig = CONFIG
    verify: bool = False
    healing: HealingConfig = field(default_factory=HealingConfig)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    host: tuple[tuple[str, str, int], ...] = ()
    pods: Table = field(default_factory=Table)
    node_configs: Table = field(default_factory=Table)
    plane: Plane = field(default_factory=Plane)
    now: float = 0.0
    wanted: Wanted | None = None
    features: Callable[[LinuxConnectivity], Sequence[Any]] = features_of

    def start(self) -> Controller:
        """Starts an agent anew; what ran before is gone without a word."""
        real = LinuxDataplane(self.tmp)
        renderer = LinuxConnectivity()
        registry = PodRegistry(
            self.pods, mtu_of=lambda view: renderer.mtu(view.own), host_interface_of=renderer.host_interface
        )
        view = View(self.config, self.config.plan, OwnNode(OWN))
        registry.load(view)
        recorder = Recorder(self.features(renderer))
        self.controller = Controller(
            view=view,
            desired=Desired(recorder.features),
            scheduler=Scheduler(
                [MemoryDescriptor(self.plane, descriptor) for descriptor in real.descriptors()],
                retry=Retry(delay=1, attempts=2),
                clock=self.clock,
            ),
            pods=registry,
            node_config=NodeConfigSource(self.config, OWN, self.node_configs),
            publish=self.publish,
            recorder=recorder,
            history=EventHistory(),
            healing=self.healing,
            verify=self.verify,
            clock=self.clock,
        )
        return self.controller

    def clock(self) -> float:
        return self.now

    def publish(self, wanted: Wanted) -> None:
        self.wanted = wanted

    # ---- what happens

    async def push(self, *events: Event) -> None:
        """Tells the agent, and lets it finish."""
        for event in events:
            await self.controller.push(event)
        await self.drain()

    async def drain(self) -> None:
        """Lets the agent handle what it can now."""
        queue = self.controller.queue
        while len(queue) > queue.held:
            await self.controller.step()

    async def read(self) -> None:
        """The agent reads the whole cluster, and its host."""
        records = {kind: dict(items) for kind, items in self.records.items()}
        await self.push(ClusterRead(records, "etcd"), HostChanged(self.host))

    async def change(self, kind: str, record_id: str, record: Any | None) -> None:
        """A record changes in etcd, and the agent hears of it."""
        self.put(kind, record_id, record)
        await self.push(ClusterChanged(((kind, record_id, record),), 1))

    def put(self, kind: str, record_id: str, record: Any | None) -> None:
        """A record changes in etcd."""
        if record is None:
            self.records.setdefault(kind, {}).pop(record_id, None)
        else:
            self.records.setdefault(kind, {})[record_id] = record

    async def pass_time(self, seconds: float) -> None:
        """Time passes: what is due is done."""
        self.now += seconds
        await self.controller.scheduler.retry(now=self.now)
        self.controller.healing.take(self.now)
        await self.drain()

    async def settle(self) -> None:
        """Whatever failed works again, and enough time passes."""
        self.plane.mend()
        for _ in range(4):
            await self.pass_time(1000)

    async def add(self, name: str, container: str = "1") -> asyncio.Future[Attachment]:
        """The kubelet asks for a pod."""
        done: asyncio.Future[Attachment] = asyncio.get_running_loop().create_future()
        await self.push(PodAdded(sandbox(name, container), done))
        return done

    async def delete(self, name: str, container: str = "1") -> asyncio.Future[None]:
        """The kubelet is done with a pod."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self.push(PodDeleted(sandbox(name, container), done))
        return done

    async def twin(self) -> World:
        """A fresh start from the same inputs, on an empty data plane."""
        twin = World(
            self.tmp,
            config=self.config,
            records={kind: dict(items) for kind, items in self.records.items()},
            host=self.host,
            pods=Table(self.pods),
            node_configs=Table(self.node_configs),
        )
        twin.start()
        await twin.read()
        return twin


def sandbox(name: str, container: str = "1") -> Sandbox:
    """A sandbox of a pod of the default namespace."""
    return Sandbox(PodID(name, "default"), f"c-{name}-{container}", NETNS, "eth0")


def node(name: str, last: int) -> Node:
    """A node as Kubernetes knows it."""
    return Node(name=name, addresses=(NodeAddress(type=AddressType.INTERNAL_IP, address=f"10.0.0.{last}"),))


def published(number: int, name: str, last: int) -> VppNode:
    """A node as it published itself."""
    return VppNode(id=number, name=name, ip_addresses=(f"10.0.0.{last}/24",))


async def in_sync(tmp: Any, **options: Any) -> World:
    """A node with an ID and an address, and one other node, in sync."""
    world = World(tmp, host=tuple(("eth0", f"10.0.0.{last}/24", 1500) for last in (1, 77, 78)), **options)
    for number, name in ((1, OWN), (2, "node2")):
        world.put("node", name, node(name, number))
        world.put("vppnode", str(number), published(number, name, number))
    world.start()
    await world.read()
    return world

"""Random walks over services: after every change all frontends lead where the oracle says. `--seed` replays one."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conformance.services import (
    PORT,
    Looks,
    Port,
    cluster_ip,
    endpoints,
    entry,
    external_ip,
    replace,
    service,
)
from tests.conformance.world import Endpoint, Object, World

pytestmark = [pytest.mark.timeout(400)]

STEPS = 10
SERVICES = 3
NODE_PORT = 31000
CONDITIONS: tuple[Mapping[str, bool], ...] = (
    {"ready": True},
    {"ready": True},
    {"ready": False},
    {"ready": False, "serving": True, "terminating": True},
)


def some_service(dice: random.Random, world: World, version: int, number: int) -> tuple[Object, Port]:
    """A service that may have anything that a service may have, but for affinity, which is no matter of one look."""
    kind = dice.choice(("ClusterIP", "NodePort", "LoadBalancer"))
    node_port = NODE_PORT + number if kind != "ClusterIP" else 0
    port: Port = ("", dice.choice(("TCP", "UDP")), 80, PORT, node_port)
    spec: dict[str, Any] = {"type": kind, "internalTrafficPolicy": dice.choice(("Cluster", "Cluster", "Local"))}
    if dice.random() < 0.5:
        spec["externalIPs"] = [external_ip(world, version, 100 + number)]
    if node_port or "externalIPs" in spec:
        spec["externalTrafficPolicy"] = dice.choice(("Cluster", "Local"))
    ingress = [{"ip": external_ip(world, version, 110 + number)}] if kind == "LoadBalancer" else []
    return service(f"walk{number}", [cluster_ip(version, 100 + number)], port, ingress=ingress, **spec), port


def some_endpoints(dice: random.Random, world: World, version: int, number: int, port: Port) -> Object:
    """Up to three pods and perhaps a host, each as ready as it happens to be; one at least is ready or ends.

    A service of datagrams that nobody answers is looked at elsewhere: kernels send few refusals a second.
    """
    pods = dice.sample(sorted(world.pods, key=str), dice.randint(0, 3))
    members = [entry(pod, version, conditions=dice.choice(CONDITIONS)) for pod in pods]
    if port[1] == "UDP":
        members.append(entry(dice.choice(list(world.hosts.values())), version))
    return endpoints(f"walk{number}", members, port, version=version)


def test_services_that_come_change_and_go(
    world: World, pods: Mapping[str, Endpoint], version: int, dice: random.Random
) -> None:
    assert len(pods) == 6
    looks = Looks(world, times=10)
    there: dict[int, tuple[Object, Object, Port]] = {}
    for step in range(STEPS):
        number = dice.randrange(SERVICES)
        what = dice.choice(("service", "endpoints", "endpoints", "gone")) if number in there else "service"
        if what == "gone":
            for item in there.pop(number)[:2]:
                world.objects.remove(item)
                world.delete(item)
        elif what == "endpoints":
            whole, _, port = there[number]
            served = some_endpoints(dice, world, version, number, port)
            there[number] = (whole, served, port)
            replace(world, served)
        else:
            whole, port = some_service(dice, world, version, number)
            served = some_endpoints(dice, world, version, number, port)
            there[number] = (whole, served, port)
            replace(world, whole)
            replace(world, served)
        print(f"step {step}: {what} of walk{number}: {there.get(number)}")
        looks.become_right(dice.sample(world.everybody(), 4))

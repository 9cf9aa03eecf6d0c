"""The packet filter's table in a namespace of the test's own: what goes in comes back, and what is wrong stands alone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contivpp.dataplane.linux.nft.service_values import (
    REFUSE,
    Destination,
    ServiceFrontend,
    shared_chains,
    shared_sets,
)
from contivpp.dataplane.linux.nft.values import NftChain, NftElement, NftSet
from contivpp.dataplane.linux.plane import LinuxDataplane
from contivpp.scheduler.api import by_key
from contivpp.scheduler.scheduler import Scheduler
from contivpp.scheduler.state import ValueState

pytestmark = pytest.mark.root

NETNS = f"cvnft{os.getpid()}"


def nft(*arguments: str) -> str:
    command = ["ip", "netns", "exec", NETNS, "nft", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def namespace() -> Iterator[str]:
    subprocess.run(["ip", "netns", "add", NETNS], check=True)
    try:
        yield f"/run/netns/{NETNS}"
    finally:
        subprocess.run(["ip", "netns", "del", NETNS], check=True)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[LinuxDataplane]:
    with namespace() as netns:
        yield LinuxDataplane(tmp_path, netns=netns)


def some_of_each() -> dict[str, Any]:
    return by_key(
        NftSet("policy/peers", "type ipv4_addr", members=frozenset({"10.1.1.5", "10.1.2.7"})),
        NftSet("policy/subnets", "type ipv4_addr; flags interval", members=frozenset({"10.0.0.0/8", "172.16.0.1"})),
        NftSet("policy/six", "type ipv6_addr . inet_service", members=frozenset({"fd00::1 . 80"})),
        NftSet("policy/ports", "type inet_proto . inet_service; flags interval", members=frozenset({"tcp . 80-90"})),
        NftSet("policy/to", "type ifname : verdict", holds="elements"),
        NftSet("policy/seen", "type ipv4_addr; flags dynamic,timeout; timeout 60s", holds="others"),
        NftElement("policy/to", "veth12", "goto policy/in"),
        NftElement("policy/to", "veth13", "accept"),
        NftChain("policy/in", rules=("ip saddr @policy/peers tcp dport 80 accept", "drop")),
        NftChain("policy/empty"),
        NftChain(
            "policy/forward",
            base="type filter hook forward priority 0; policy accept",
            rules=("ct state established,related accept", "oifname vmap @policy/to"),
        ),
    )


def services() -> dict[str, Any]:
    many = tuple(sorted((f"10.1.{number // 200}.{number % 200 + 1}", 8080) for number in range(70)))
    return by_key(
        NftChain(REFUSE, rules=("reject",)),
        *(value for version in (4, 6) for value in (*shared_sets(version), *shared_chains(version))),
        ServiceFrontend("10.96.0.1", "tcp", 80, Destination((("10.1.1.1", 8080), ("10.1.1.2", 8080)))),
        ServiceFrontend("10.96.0.2", "sctp", 80),
        ServiceFrontend("10.96.0.3", "udp", 53, Destination(empty="drop")),
        ServiceFrontend("10.96.0.4", "tcp", 80, Destination(many)),
        ServiceFrontend(
            "10.96.0.5", "tcp", 80, Destination((("10.1.1.1", 80), ("10.1.1.2", 80))), affinity=10800, group="a1"
        ),
        ServiceFrontend("10.0.0.1", "tcp", 30080, Destination((("10.1.1.1", 80),)), affinity=10800, group="a1"),
        ServiceFrontend(
            "fd00:96::1",
            "tcp",
            443,
            Destination((("fd00:1::1", 443), ("fd00:1::2", 443))),
            outside=Destination((("fd00:1::2", 443),)),
            sources=("2001:db8::/32", "2001:db9::1"),
            affinity=60,
            group="b2",
        ),
        ServiceFrontend("203.0.113.1", "tcp", 80, sources=("198.51.100.0/24",), outside=Destination(empty="drop")),
    )


LINKS = (
    "0e12ab34cd56ef7",
    "12ab34cd56ef789",
    "1e5",
    "0x12",
    "100000000000000",
    "7.5",
    "9-a",
    "ip",
    "drop",
    "tcp",
    "c0ffee",
    "_x",
)
"""The beginnings of containers' IDs, and words that mean something to nft."""


async def test_a_link_may_have_any_name(tmp_path: Path) -> None:
    def values(address: str) -> dict[str, Any]:
        return by_key(
            NftSet("policy/links", "type ifname", holds="elements"),
            NftSet("policy/own", "type ifname . ipv4_addr", holds="elements"),
            NftSet("policy/to", "type ipv4_addr . ifname : verdict", holds="elements"),
            NftSet("policy/some", "type ifname", members=frozenset(LINKS)),
            *(NftElement("policy/links", one) for one in LINKS),
            *(NftElement("policy/own", f"{one} . {address}") for one in LINKS),
            *(NftElement("policy/to", f"{address} . {one}", "accept") for one in LINKS),
        )

    wanted, other = values("10.1.1.2"), values("10.1.1.3")
    with namespace() as netns:

        def started_anew() -> Scheduler:
            return Scheduler(LinuxDataplane(tmp_path, netns=netns).descriptors())

        assert (await started_anew().resync(wanted, description="all")).errors == {}
        assert (await started_anew().resync(wanted, description="again")).executed == 0
        assert (await started_anew().resync(other, description="other addresses")).errors == {}
        assert (await started_anew().resync(other, description="and again")).executed == 0
        assert (await started_anew().resync({}, description="nothing")).errors == {}


async def test_a_restart_finds_everything_and_does_nothing(plane: LinuxDataplane, tmp_path: Path) -> None:
    wanted = some_of_each() | services()
    first = await Scheduler(plane.descriptors()).resync(wanted)
    assert not first.errors
    again = LinuxDataplane(tmp_path, netns=f"/run/netns/{NETNS}")
    second = await Scheduler(again.descriptors()).resync(wanted)
    assert not second.errors
    assert second.executed == 0


async def test_what_somebody_changed_is_mended(plane: LinuxDataplane) -> None:
    wanted = some_of_each() | services()
    scheduler = Scheduler(plane.descriptors())
    await scheduler.resync(wanted)
    nft("delete element inet contiv policy/peers { 10.1.1.5 }")
    nft("add rule inet contiv policy/in accept")
    nft("flush chain inet contiv policy/forward")
    nft("flush map inet contiv policy/to")
    nft("delete element inet contiv service/inside-tcp4 { 10.96.0.1 . 80 . 1 }")
    nft("add element inet contiv service/inside-tcp4 { 10.96.0.77 . 80 . 5 : 10.1.1.1 . 80 }")
    nft("flush chain inet contiv frontend/10.96.0.5/tcp/80/inside")
    result = await scheduler.downstream_resync()
    assert not result.errors
    # a set, three chains or elements, and one more for each frontend that was damaged or is nobody's
    assert result.executed == 4 + 1 + 3
    assert (await scheduler.downstream_resync()).executed == 0
    assert "10.96.0.77" not in nft("list", "map", "inet", "contiv", "service/inside-tcp4")


async def test_one_wrong_value_hurts_no_other(plane: LinuxDataplane) -> None:
    scheduler = Scheduler(plane.descriptors())
    wanted = some_of_each() | by_key(
        NftChain("policy/wrong", rules=("ip saddr @nowhere accept",)),
        NftElement("policy/to", "veth14", "goto nowhere"),
        NftSet("policy/unknown", "type no_such_type"),
    )
    result = await scheduler.resync(wanted)
    assert set(result.errors) == {
        "linux/nft/chain/policy/wrong",
        "linux/nft/element/policy/to/veth14",
        "linux/nft/set/policy/unknown",
    }
    assert all(scheduler.state_of(key) is ValueState.CONFIGURED for key in some_of_each())


async def test_what_a_rule_still_uses_goes_when_the_rule_does(plane: LinuxDataplane) -> None:
    scheduler = Scheduler(plane.descriptors())
    await scheduler.resync(some_of_each())
    result = await scheduler.commit(
        {
            "linux/nft/set/policy/peers": None,
            "linux/nft/chain/policy/in": NftChain("policy/in", rules=("tcp dport 81 accept",)),
            "linux/nft/chain/policy/empty": None,
        }
    )
    assert not result.errors
    listing = nft("list", "table", "inet", "contiv")
    assert "policy/peers" not in listing
    assert "policy/empty" not in listing
    assert "tcp dport 81 accept" in listing
    assert (await scheduler.downstream_resync()).executed == 0


async def test_a_verdict_and_its_chain_change_in_one_transaction(plane: LinuxDataplane) -> None:
    scheduler = Scheduler(plane.descriptors())
    await scheduler.resync(some_of_each())
    fresh = NftElement("policy/to", "veth12", "goto policy/other")
    result = await scheduler.commit(
        {
            "linux/nft/chain/policy/in": None,
            fresh.key: fresh,
            "linux/nft/chain/policy/other": NftChain("policy/other", rules=("drop",)),
        }
    )
    assert not result.errors
    assert '"veth12" : goto policy/other' in nft("list", "map", "inet", "contiv", "policy/to")
    assert "chain policy/in " not in nft("list", "table", "inet", "contiv")


async def test_nothing_is_left_when_everything_is_taken_away(plane: LinuxDataplane) -> None:
    nft("add table inet theirs")
    result = await Scheduler(plane.descriptors()).resync(some_of_each() | services())
    assert not result.errors
    assert await plane.remove_everything() > 0
    assert nft("list", "ruleset").split() == ["table", "inet", "theirs", "{", "}"]


async def test_one_element_of_a_hundred_thousand_costs_one_element(plane: LinuxDataplane) -> None:
    members = frozenset(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(100_000))
    wanted = by_key(NftSet("policy/large", "type ipv4_addr", members=members))
    scheduler = Scheduler(plane.descriptors())
    assert not (await scheduler.resync(wanted)).errors
    [key] = wanted
    times = []
    for number in range(10):
        members = members ^ {"192.168.0.1"}
        started = time.perf_counter()
        assert not (await scheduler.commit({key: NftSet("policy/large", "type ipv4_addr", members=members)})).errors
        times.append(time.perf_counter() - started)
        there = "192.168.0.1" in nft("list", "set", "inet", "contiv", "policy/large") if number == 0 else True
        assert there
    assert sorted(times)[5] < 0.1


async def test_frontends_of_a_group_remember_their_clients_together(plane: LinuxDataplane) -> None:
    """A client keeps its backend by whichever address and port of the service it comes."""
    backends = (("10.1.1.1", 8080), ("10.1.1.2", 8080))
    first = ServiceFrontend("10.96.0.1", "tcp", 80, Destination(backends), affinity=600, group="g")
    second = ServiceFrontend("10.0.0.1", "tcp", 30080, Destination(backends), affinity=600, group="g")
    clients = "clients/g/600/10.1.1.1/8080"

    def remembered(name: str = clients) -> bool:
        return "198.51.100.9" in nft("list", "table", "inet", "contiv").partition(f"set {name} ")[2].partition("}\n")[0]

    async def commit(**values: Any) -> None:
        result = await scheduler.commit({f"linux/service/{key}": value for key, value in values.items()})
        assert not result.errors
        assert (await scheduler.downstream_resync()).executed == 0

    scheduler = Scheduler(plane.descriptors())
    shared = {key: value for key, value in services().items() if not isinstance(value, ServiceFrontend)}
    await scheduler.resync(shared | by_key(first))
    nft(f"add element inet contiv {clients} {{ 198.51.100.9 }}")
    await commit(**{"10.0.0.1/tcp/30080": second})
    listing = nft("list", "table", "inet", "contiv")
    for rule in ("frontend/10.96.0.1/tcp/80/inside", "frontend/10.0.0.1/tcp/30080/inside"):
        assert f"ip saddr @{clients} goto {rule}/g/10.1.1.1/8080" in listing
    await commit(**{"10.96.0.1/tcp/80": None})
    assert remembered(), "the other one still uses the set"
    again = Scheduler(plane.descriptors())
    assert (await again.resync(shared | by_key(second))).executed == 0
    await commit(**{"10.0.0.1/tcp/30080": replace(second, inside=Destination(backends[:1]))})
    assert remembered()
    await commit(**{"10.0.0.1/tcp/30080": replace(second, inside=Destination(backends[:1]), affinity=60)})
    assert "clients/g/600" not in nft("list", "table", "inet", "contiv")
    await commit(**{"10.0.0.1/tcp/30080": None})
    assert "clients/" not in nft("list", "table", "inet", "contiv")


async def test_a_frontend_changes_only_its_own_elements(plane: LinuxDataplane) -> None:
    scheduler = Scheduler(plane.descriptors())
    await scheduler.resync(services())
    key = "linux/service/10.96.0.1/tcp/80"
    changed = ServiceFrontend("10.96.0.1", "tcp", 80, Destination((("10.1.1.2", 8080),)))
    assert not (await scheduler.commit({key: changed})).errors
    backends = nft("list", "map", "inet", "contiv", "service/inside-tcp4")
    assert "10.96.0.1 . 80 . 0 : 10.1.1.2 . 8080" in backends
    assert "10.96.0.1 . 80 . 1" not in backends
    assert "10.96.0.5" in nft("list", "map", "inet", "contiv", "service/inside4")
    assert not (await scheduler.commit({key: None})).errors
    assert "10.96.0.1 " not in nft("list", "table", "inet", "contiv")
    assert (await scheduler.downstream_resync()).executed == 0

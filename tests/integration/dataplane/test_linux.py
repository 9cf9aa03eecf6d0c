"""The Linux data plane in namespaces of the test's own: two nodes, their pods, real packets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contivpp.dataplane.linux import offload
from contivpp.dataplane.linux.plane import LinuxDataplane
from contivpp.dataplane.linux.values import (
    Address,
    ForwardingEntry,
    Neighbour,
    Route,
    Rule,
    Sysctl,
    TapEnd,
    Veth,
    Vxlan,
)
from contivpp.scheduler.api import Dependency, Observed, Operation, OperationKind, Outcome, by_key
from contivpp.scheduler.scheduler import Scheduler
from contivpp.scheduler.state import ValueState

pytestmark = pytest.mark.root

PREFIX = f"cv{os.getpid()}"


def ip(*arguments: str, netns: str = "") -> str:
    command = ["ip", *(("-n", netns) if netns else ()), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def path(netns: str) -> str:
    return f"/run/netns/{netns}"


@contextlib.contextmanager
def namespaces(*names: str) -> Iterator[list[str]]:
    made = [f"{PREFIX}-{name}" for name in names]
    try:
        for name in made:
            ip("netns", "add", name)
            ip("link", "set", "lo", "up", netns=name)
        yield made
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def pod(name: str, netns: str, address: str, gateway: str, number: int) -> dict[str, Any]:
    inside = Veth.peer_link(name)
    mac, host_mac = f"02:fe:00:00:00:{number:02x}", f"02:fe:00:00:01:{number:02x}"
    return by_key(
        Veth(name, f"h{name}"[:15], "eth0", path(netns), host_mac, mac, 1450),
        Address(inside, f"{address}/32"),
        Route(f"{gateway}/32", link=inside, scope="link"),
        Route("0.0.0.0/0", via=gateway, link=inside),
        Neighbour(inside, gateway, host_mac),
        Route(f"{address}/32", link=name, scope="link"),
        Neighbour(name, address, mac),
    )


def node(number: int, other: int) -> dict[str, Any]:
    return by_key(
        Sysctl("net.ipv4.ip_forward", "1"),
        Vxlan("tunnels", "tunnels", 10, f"10.200.0.{number}", 4789, f"12:2b:00:00:00:{number:02x}", 1450),
        Address("tunnels", f"192.168.30.{number}/24"),
        Address("lo", f"10.1.{number}.1/32"),
        Route("10.1.0.0/16", kind="blackhole"),
        Rule(7700, source=f"10.1.{number}.0/24", table=77),
        ForwardingEntry("tunnels", f"12:2b:00:00:00:{other:02x}", f"10.200.0.{other}"),
        Neighbour("tunnels", f"192.168.30.{other}", f"12:2b:00:00:00:{other:02x}"),
        Route(f"10.1.{other}.0/24", via=f"192.168.30.{other}", link="tunnels"),
        Route(f"10.200.0.{other}/32", via=f"192.168.30.{other}", link="tunnels", table=77),
    )


class Node:
    def __init__(self, netns: str, state: Path) -> None:
        self.netns = netns
        self.plane = LinuxDataplane(state, netns=path(netns))
        self.scheduler = Scheduler(self.plane.descriptors())

    def again(self, state: Path) -> Node:
        return Node(self.netns, state)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    with namespaces("n1", "n2") as (one, other):
        ip("link", "add", "eth9", "netns", one, "type", "veth", "peer", "name", "eth9", "netns", other)
        for number, name in ((1, one), (2, other)):
            ip("addr", "add", f"10.200.0.{number}/24", "dev", "eth9", netns=name)
            ip("link", "set", "eth9", "up", netns=name)
        nodes = Node(one, tmp_path / "1"), Node(other, tmp_path / "2")
        yield nodes
        for each in nodes:
            await each.plane.close()


async def ping(plane: LinuxDataplane, netns: str, address: str) -> None:
    result = await plane.ping(path(netns), address, 2)
    assert result["received"] == 2, result


async def test_pods_of_two_nodes_and_their_hosts_reach_each_other(two: tuple[Node, Node]) -> None:
    one, other = two
    with namespaces("a", "b", "c") as (a, b, c):
        first = {**node(1, 2), **pod("poda", a, "10.1.1.2", "10.1.1.1", 2), **pod("podb", b, "10.1.1.3", "10.1.1.1", 3)}
        second = {**node(2, 1), **pod("podc", c, "10.1.2.2", "10.1.2.1", 4)}
        assert not (await one.scheduler.resync(first)).errors
        assert not (await other.scheduler.resync(second)).errors
        for source, target in ((a, "10.1.1.3"), (a, "10.1.2.2"), (c, "10.1.1.2"), (c, "10.1.2.1"), (a, "10.200.0.2")):
            await ping(one.plane, source, target)
        await ping(one.plane, one.netns, "10.1.1.2")
        await ping(one.plane, one.netns, "10.1.2.2")


async def test_what_was_made_is_read_back_as_it_was_wanted(two: tuple[Node, Node], tmp_path: Path) -> None:
    one, _ = two
    with namespaces("a") as (a,):
        wanted = {**node(1, 2), **pod("poda", a, "10.1.1.2", "10.1.1.1", 2)}
        assert not (await one.scheduler.resync(wanted)).errors
        assert await one.scheduler.observe(wanted) == wanted
        fresh = one.again(tmp_path / "1")
        result = await fresh.scheduler.resync(wanted)
        assert (dict(result.errors), result.executed) == ({}, 0)
        await fresh.plane.close()


async def test_what_is_no_longer_wanted_goes_and_what_others_made_stays(two: tuple[Node, Node], tmp_path: Path) -> None:
    one, _ = two
    with namespaces("a") as (a,):
        ip("link", "add", "foreign0", "type", "veth", "peer", "name", "foreign1", netns=one.netns)
        ip("route", "add", "10.77.0.0/16", "via", "10.200.0.2", netns=one.netns)
        await one.scheduler.resync({**node(1, 2), **pod("poda", a, "10.1.1.2", "10.1.1.1", 2)})
        fresh = one.again(tmp_path / "1")
        result = await fresh.scheduler.resync({})
        assert not result.errors
        await fresh.plane.close()
        links = ip("-br", "link", netns=one.netns)
        assert "foreign0" in links
        assert "tunnels" not in links
        assert "hpoda" not in links
        assert ip("route", netns=one.netns).split("\n")[0].startswith("10.77.0.0/16")
        assert "lookup 77" not in ip("rule", netns=one.netns)


async def test_everything_can_be_taken_away_again(two: tuple[Node, Node]) -> None:
    one, _ = two
    before = [ip(*what, netns=one.netns) for what in (("-br", "addr"), ("route", "show", "table", "all"), ("rule",))]
    forwarding = ["ip", "netns", "exec", one.netns, "cat", "/proc/sys/net/ipv4/ip_forward"]
    was = subprocess.run(forwarding, check=True, capture_output=True).stdout
    with namespaces("a") as (a,):
        await one.scheduler.resync({**node(1, 2), **pod("poda", a, "10.1.1.2", "10.1.1.1", 2)})
        assert await one.plane.remove_everything() > 10
    after = [ip(*what, netns=one.netns) for what in (("-br", "addr"), ("route", "show", "table", "all"), ("rule",))]
    assert after == before
    assert subprocess.run(forwarding, check=True, capture_output=True).stdout == was


async def test_a_namespace_that_vanished_harms_nothing(two: tuple[Node, Node]) -> None:
    one, _ = two
    with namespaces("a", "b") as (a, b):
        keep = pod("podb", b, "10.1.1.3", "10.1.1.1", 3)
        await one.scheduler.resync({**node(1, 2), **pod("poda", a, "10.1.1.2", "10.1.1.1", 2), **keep})
        ip("netns", "del", a)
        result = await one.scheduler.resync({**node(1, 2), **keep})
        assert not result.errors
        result = await one.scheduler.commit(pod("poda", a, "10.1.1.2", "10.1.1.1", 2), revert_on_failure=True)
        assert "there is no network namespace" in result.errors["linux/link/poda"]
        await ping(one.plane, b, "10.1.1.1")


async def test_a_foreign_link_in_the_way_is_named(two: tuple[Node, Node]) -> None:
    one, _ = two
    ip("link", "add", "tunnels", "type", "bridge", netns=one.netns)
    before = ip("link", "show", "tunnels", netns=one.netns)
    result = await one.scheduler.resync(node(1, 2))
    assert "link tunnels: a link with this name" in result.errors["linux/link/tunnels"]
    assert one.scheduler.state_of("linux/address/tunnels/192.168.30.1/24") is ValueState.PENDING
    await one.scheduler.resync(node(1, 2))
    assert ip("link", "show", "tunnels", netns=one.netns) == before


async def test_a_changed_mtu_is_set_in_place_and_a_changed_mac_makes_the_pair_anew(two: tuple[Node, Node]) -> None:
    one, _ = two
    with namespaces("a") as (a,):
        wanted = {**node(1, 2), **pod("poda", a, "10.1.1.2", "10.1.1.1", 2)}
        await one.scheduler.resync(wanted)
        index = await one.plane.link_index("hpoda")
        old = wanted["linux/link/poda"]
        changed = Veth(old.name, old.host_name, old.peer_name, old.netns, old.mac, old.peer_mac, 1400)
        assert not (await one.scheduler.commit(by_key(changed))).errors
        assert await one.plane.link_index("hpoda") == index
        assert "mtu 1400" in ip("link", "show", "eth0", netns=a)
        whole = replace(changed, mtu=0)
        assert not (await one.scheduler.commit(by_key(whole))).errors
        assert await one.plane.link_index("hpoda") == index
        assert "mtu 1500" in ip("link", "show", "eth0", netns=a)
        other = Veth(old.name, old.host_name, old.peer_name, old.netns, "02:fe:00:00:09:09", old.peer_mac, 1400)
        assert not (await one.scheduler.commit(by_key(other))).errors
        assert await one.plane.link_index("hpoda") != index
        assert (await one.plane.ping(path(a), "10.1.1.1", 1))["transmitted"] == 1


@pytest.mark.parametrize("version", [4, 6])
async def test_a_route_can_be_narrower_than_its_link(two: tuple[Node, Node], tmp_path: Path, version: int) -> None:
    one, _ = two
    gateway, address, everything = {4: ("10.1.1.1", "10.1.1.2/32", "0.0.0.0/0"), 6: ("fd01::1", "fd01::2/128", "::/0")}[
        version
    ]
    with namespaces("a") as (a,):
        pair = Veth("poda", "hpoda", "eth0", path(a), "02:fe:00:00:01:02", "02:fe:00:00:00:02", ipv6=version == 6)
        inside = Veth.peer_link("poda")
        narrow = Route(everything, via=gateway, link=inside, mtu=1400)
        direct = Route(f"{gateway}/{address.partition('/')[2]}", link=inside, scope="link")
        wanted = by_key(pair, Address(inside, address), direct, narrow)
        assert not (await one.scheduler.resync(wanted)).errors

        def shown() -> str:
            return ip(f"-{version}", "route", "show", "default", netns=a)

        assert "mtu 1400" in shown()
        again = one.again(tmp_path / "1")
        assert (await again.scheduler.resync(wanted)).executed == 0
        for mtu, said in ((1300, "mtu 1300"), (0, "default via")):
            changed = replace(narrow, mtu=mtu)
            assert not (await again.scheduler.commit(by_key(changed))).errors
            assert said in shown()
        assert "mtu" not in shown()


async def test_the_nodes_own_addresses_are_told_and_ours_are_not(two: tuple[Node, Node]) -> None:
    one, _ = two
    await one.scheduler.resync(node(1, 2))
    assert await one.plane.host_addresses() == (("eth9", "10.200.0.1/24", 1500),)
    watching = one.plane.watch_host()
    assert await anext(watching) == (("eth9", "10.200.0.1/24", 1500),)
    ip("addr", "add", "10.200.1.1/24", "dev", "eth9", netns=one.netns)
    told = await anext(watching)
    assert ("eth9", "10.200.1.1/24", 1500) in told
    for verb in ("del", "add"):
        ip("addr", verb, "10.200.1.1/24", "dev", "eth9", netns=one.netns)
    assert await asyncio.wait_for(anext(watching), 10) == told, "routes that had it as source are gone"
    await watching.aclose()  # type: ignore[attr-defined]


async def test_a_pair_whose_both_ends_are_on_the_node(tmp_path: Path) -> None:
    with namespaces("n1") as (one,):
        ip("link", "add", "eth7", "type", "bridge", netns=one)
        plane = LinuxDataplane(tmp_path, netns=path(one), attaching=True)
        scheduler = Scheduler(plane.descriptors())
        pair = Veth("host-link", "vpp1", "vpp2", "", "02:fe:00:00:00:01", "02:fe:00:00:00:02", 1400, offload=False)
        wanted = by_key(pair, Address("host-link", "10.9.0.2/24"), Route("10.8.0.0/16", "10.9.0.1", "host-link"))
        assert dict((await scheduler.commit(wanted)).errors) == {}
        states = {name: scheduler.state_of(f"linux/link-name/{name}") for name in ("vpp1", "vpp2", "eth7", "eth8")}
        await scheduler.downstream_resync()
        states |= {"eth7": scheduler.state_of("linux/link-name/eth7")}
        assert states == {
            "vpp1": ValueState.CONFIGURED,
            "vpp2": ValueState.CONFIGURED,
            "eth7": ValueState.OBTAINED,
            "eth8": ValueState.NONEXISTENT,
        }
        assert ("eth7", "", 1500) in await plane.host_addresses()
        again = Scheduler(plane.descriptors())
        result = await again.resync(wanted)
        assert (dict(result.errors), result.executed) == ({}, 0)
        ip("link", "del", "vpp2", netns=one)
        assert dict((await again.downstream_resync()).errors) == {}
        assert {"vpp1", "vpp2"} <= {line.split("@")[0].split()[0] for line in ip("-br", "link", netns=one).splitlines()}
        assert await plane.remove_everything() > 0
        assert "vpp" not in ip("-br", "link", netns=one)
        await plane.close()


async def test_checksums_are_computed_before_they_are_sent_where_that_is_asked_for(tmp_path: Path) -> None:
    with namespaces("n1", "a") as (one, a):

        def computed() -> list[bool]:
            ends = ((one, "hpoda"), (a, "eth0"))
            return [not offload.checksums(path(netns), name) for netns, name in ends]

        plane = LinuxDataplane(tmp_path, netns=path(one))
        scheduler = Scheduler(plane.descriptors())
        link = Veth("poda", "hpoda", "eth0", path(a), "02:fe:00:00:00:01", "02:fe:00:00:00:02", 1400)
        for wanted, expected in ((link, False), (replace(link, offload=False), True)):
            assert dict((await scheduler.commit(by_key(wanted))).errors) == {}
            assert computed() == [expected, expected]
        index = ip("link", "show", "hpoda", netns=one).split(":")[0]
        offload.set_checksums(path(a), "eth0", on=True)
        assert dict((await scheduler.downstream_resync()).errors) == {}
        assert computed() == [True, True]
        assert ip("link", "show", "hpoda", netns=one).split(":")[0] == index, "the link lives on"
        assert (await Scheduler(plane.descriptors()).resync(by_key(replace(link, offload=False)))).executed == 0
        await plane.close()


class MadeElsewhere:
    """Stands for another data plane that makes TAPs in namespaces."""

    name = "elsewhere"
    prefix = "elsewhere/"

    def dependencies(self, key: str, value: Any) -> Iterable[Dependency]:
        return ()

    def derived(self, key: str, value: Any) -> Mapping[str, Any]:
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        for operation in operations:
            name, netns = operation.value
            word = "del" if operation.kind is OperationKind.DELETE else "add"
            ip("tuntap", word, "dev", name, "mode", "tap", netns=netns)
            if word == "add":
                ip("link", "set", name, "up", netns=netns)
        return [Outcome()] * len(operations)

    async def retrieve(self) -> Mapping[str, Observed]:
        return {}


async def test_an_end_that_somebody_else_makes_in_a_pod_is_taken_over_and_found_again(tmp_path: Path) -> None:
    with namespaces("taps", "tap-pod") as (node, inside):
        plane = LinuxDataplane(tmp_path, netns=path(node))
        name = Veth.peer_link("tap-a")
        end = TapEnd(name, "eth0", path(inside), "elsewhere/a", ipv6=True)
        host = TapEnd("vpp1", "vpp1", "", "elsewhere/host")
        wanted = by_key(
            end,
            host,
            Address(name, "10.1.1.2/32"),
            Address(name, "fd00:10:1:1::2/128"),
            Route("10.1.1.1/32", link=name, scope="link"),
            Route("0.0.0.0/0", via="10.1.1.1", link=name),
            Neighbour(name, "10.1.1.1", "02:fe:00:00:00:01"),
            Address("vpp1", "172.30.1.2/24"),
        )
        scheduler = Scheduler([MadeElsewhere(), *plane.descriptors()])
        assert (await scheduler.commit(wanted)).errors == {}
        assert scheduler.state_of(end.key) is ValueState.PENDING, "it waits for the link"
        result = await scheduler.commit({"elsewhere/a": ("eth0", inside), "elsewhere/host": ("vpp1", node)})
        assert result.errors == {}
        assert {scheduler.state_of(key) for key in wanted} == {ValueState.CONFIGURED}
        assert "10.1.1.2/32" in ip("addr", "show", "eth0", netns=inside)
        assert "default via 10.1.1.1" in ip("route", netns=inside)
        await plane.close()

        again = LinuxDataplane(tmp_path, netns=path(node))
        found = {
            key: seen.value
            for descriptor in again.descriptors()
            for key, seen in (await descriptor.retrieve()).items()
            if not key.startswith("linux/link-name/")
        }
        assert found == wanted
        await again.remove_everything()
        assert "inet" not in ip("-br", "addr", "show", "eth0", netns=inside).replace("inet6 fe80", "")
        assert "10.1.1.1" not in ip("route", netns=inside)
        await again.close()


async def test_a_pair_that_vpp_reads_says_nothing_by_itself(tmp_path: Path) -> None:
    with namespaces("quiet", "quiet-pod") as (node, inside):
        plane = LinuxDataplane(tmp_path, netns=path(node))
        pair = Veth("quiet", "quiet0", "eth0", path(inside), "02:fe:00:00:01:01", "02:fe:00:00:00:01", offload=False)
        assert (await Scheduler(plane.descriptors()).commit(by_key(pair))).errors == {}
        await asyncio.sleep(3)
        for name, netns in (("quiet0", node), ("eth0", inside)):
            assert "inet6" not in ip("addr", "show", name, netns=netns)
            [counters] = json.loads(ip("-s", "-j", "link", "show", name, netns=netns))
            assert counters["stats64"]["tx"]["packets"] == 0, name
        await plane.close()

"""Addresses and routes of a link that went and came again, in a real kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from contivpp.host import links
from contivpp.host.links import Link
from contivpp.host.system import Answer, System, run_program

pytestmark = pytest.mark.root

LINK = """
link set hostnic mtu 1450 up
address add 10.7.0.1/24 broadcast 10.7.0.255 dev hostnic label hostnic:1
address add 10.7.1.1 peer 10.7.1.2/32 dev hostnic
address add 10.7.2.1/24 dev hostnic valid_lft 3000 preferred_lft 2000 noprefixroute
address add fd07::1/64 dev hostnic nodad
route add default via 10.7.0.254 dev hostnic metric 100 proto dhcp src 10.7.0.1 mtu 1400
route add 10.8.0.0/16 nexthop via 10.7.0.3 dev hostnic weight 2 nexthop via 10.7.0.4 dev hostnic
route add 10.9.0.0/16 via inet6 fe80::1 dev hostnic onlink table 77
route add 10.99.0.0/16 via 10.55.0.1 dev hostnic onlink
route add 10.98.0.0/16 via 10.99.0.1 dev hostnic onlink proto static
route add 10.11.0.0/16 dev hostnic scope link tos 4
-6 route add default via fd07::fe dev hostnic pref high
-6 route add fd99::/32 dev hostnic metric 7
"""

# As NetworkManager does it: the kernel makes no routes of the addresses, and those that come in their places say it did.
MANAGED = """
link set hostnic up
address add 10.7.2.1/24 dev hostnic noprefixroute
route add 10.7.2.0/24 dev hostnic proto kernel scope link src 10.7.2.1 metric 100
route add default via 10.7.2.254 dev hostnic proto static metric 100
address add fd07::1/64 dev hostnic nodad noprefixroute
-6 route add fd07::/64 dev hostnic proto kernel metric 100
-6 route add default via fd07::fe dev hostnic proto static metric 100
"""


@pytest.fixture
def machine() -> Iterator[System]:
    name = f"host-links-{os.getpid()}"
    assert run_program(["ip", "netns", "add", name]).code == 0

    def run(words: Sequence[str]) -> Answer:
        return run_program(["ip", "netns", "exec", name, *words])

    yield System(run=run)
    run_program(["ip", "netns", "delete", name])


def make(machine: System, name: str) -> None:
    machine.must("ip", "link", "add", name, "type", "veth", "peer", "name", "hostpeer")
    machine.must("ip", "link", "set", "hostpeer", "up")


def what_counts(link: Link) -> dict[str, Any]:
    """A link without what differs from one to the next: index, MAC, and how long a lease still is."""
    return {
        "addresses": sorted((one.cidr, one.peer, one.dynamic) for one in link.addresses if not one.comes_by_itself),
        "routes": sorted(
            " ".join(links.adding_route(one, link.name, "X")) for one in link.routes if not one.comes_by_itself
        ),
        "mtu": link.mtu,
        "up": link.up,
    }


@pytest.mark.parametrize("name", ["hostnic", "othernic"])
def test_a_link_that_comes_again_has_all_of_its_addresses_and_routes(machine: System, name: str) -> None:
    make(machine, "hostnic")
    for line in LINK.strip().splitlines():
        machine.must("ip", *line.split())
    before = links.read(machine)["hostnic"]
    assert len(before.addresses) >= 4 and len([one for one in before.routes if not one.comes_by_itself]) == 8
    machine.must("ip", "link", "delete", "hostnic")
    make(machine, name)
    assert links.restore(machine, Link.from_dict(before.as_dict()), name) == []
    now = links.read(machine)[name]
    assert what_counts(now) == what_counts(before)
    assert links.restoring(before, now) == [], "a second time there is nothing to do"


def test_what_cannot_be_put_back_is_told_and_the_rest_is_done(machine: System) -> None:
    make(machine, "hostnic")
    for line in LINK.strip().splitlines():
        machine.must("ip", *line.split())
    machine.must("ip", "link", "add", "hostdown", "type", "veth", "peer", "name", "hostfar")
    machine.must("ip", "link", "set", "hostfar", "up")
    machine.must("ip", "link", "set", "hostdown", "up")
    machine.must("ip", "route", "add", "10.12.0.0/16", "nexthop", "dev", "hostnic", "nexthop", "dev", "hostdown")
    before = links.read(machine)["hostnic"]
    machine.must("ip", "link", "delete", "hostnic")
    machine.must("ip", "link", "delete", "hostdown")
    make(machine, "hostnic")
    [problem] = links.restore(machine, before, "hostnic")
    assert problem.startswith("ip -4 route add 10.12.0.0/16") and "hostdown" in problem
    assert len(links.read(machine)["hostnic"].addresses) >= 4
    assert links.restore(machine, before, "nosuch") == [
        "there is no link nosuch to put the addresses and routes of hostnic on"
    ]


def test_bridges_are_told_by_the_kernel(machine: System) -> None:
    make(machine, "hostnic")
    machine.must("ip", "link", "add", "hostbr", "type", "bridge")
    machine.must("ip", "link", "set", "hostnic", "master", "hostbr")
    found = links.read(machine)
    assert found["hostnic"].master == "hostbr"
    assert not found["hostnic"].up and not found["hostnic"].carrier


def test_what_a_manager_added_in_the_kernels_name_comes_back_as_well(machine: System) -> None:
    make(machine, "hostnic")
    for line in MANAGED.strip().splitlines():
        machine.must("ip", *line.split())
    before = links.read(machine)["hostnic"]
    machine.must("ip", "link", "delete", "hostnic")
    make(machine, "hostnic")
    assert links.restore(machine, Link.from_dict(before.as_dict()), "hostnic") == []
    now = links.read(machine)["hostnic"]
    ways = {(route.destination, route.gateway, route.protocol, route.metric) for route in now.routes}
    assert {(one.destination, one.gateway, one.protocol, one.metric) for one in before.routes} - ways == set()
    assert links.restoring(before, now) == []

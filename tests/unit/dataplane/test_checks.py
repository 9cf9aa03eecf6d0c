"""What may come from outside: refused with the field and the remedy, or as the kernel gives it back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from contivpp.agent.connectivity.linux import LinuxConnectivity
from contivpp.agent.pods.api import Sandbox
from contivpp.agent.view import LocalPod, OwnNode, RemoteNode
from contivpp.dataplane.linux.checks import checked
from contivpp.dataplane.linux.health import HealthPort
from contivpp.dataplane.linux.nft.descriptor import NftDescriptor
from contivpp.dataplane.linux.nft.service_values import ServiceFrontend
from contivpp.dataplane.linux.plane import LinuxDataplane
from contivpp.dataplane.linux.values import (
    TYPES,
    Address,
    ForwardingEntry,
    LinkEnd,
    Neighbour,
    Route,
    Rule,
    Sysctl,
    Veth,
    Vxlan,
)
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID

VETH = Veth("x", "x", "eth0", "/run/netns/a", "02:00:00:00:00:01", "02:00:00:00:00:02")
VXLAN = Vxlan("t", "t", 7, "10.0.0.1", 4789, "02:00:00:00:00:01", 1450)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            Route("10.9.0.1/16", kind="blackhole"),
            "field to: 10.9.0.1/16 has bits set behind its prefix: write 10.9.0.0/16",
        ),
        (Route("banana", kind="blackhole"), "field to: 'banana' is not a subnet"),
        (Route("10.9.0.0/16"), "field link is missing"),
        (Route("10.9.0.0/16", link="x", kind="blackhole"), "leave out link"),
        (Route("10.9.0.0/16", link="x", via="fd00::1"), "write one of IPv4"),
        (Route("10.9.0.0/16", link="x", via="1.2.3"), "field via: '1.2.3' is not an address"),
        (Route("10.9.0.0/16", link="x", via="10.0.0.1", scope="link"), "leave out scope link"),
        (Route("10.9.0.0/16", link="x", table=0), "field table: 0 is not between 1 and"),
        (Route("10.9.0.0/16", link="x", metric=1 << 32), "field metric"),
        (Route("10.9.0.0/16", link="x", mtu=9), "field mtu: 9 is not between 68 and 65535"),
        (Route("10.9.0.0/16", kind="blackhole", mtu=1400), "leave out link, via, scope and mtu"),
        (Address("", "10.9.0.1/16"), "field link is missing"),
        (Address("lo", "10.9.0"), "field address: '10.9.0' is not an address with prefix length"),
        (Neighbour("x", "10.9.0.1", "02:00"), "field mac: '02:00' is not a MAC address"),
        (Neighbour("lo", "10.9.0.1", "02:00:00:00:00:01"), "name another link"),
        (ForwardingEntry("x", "02:00:00:00:00:01", "nowhere"), "field destination"),
        (Rule(0), "field priority"),
        (Rule(9, source="10.0.0.0/8", destination="fd00::/8"), "different IP families"),
        (Rule(9, source="0.0.0.0/0"), "leave source out"),
        (Sysctl("/etc/passwd", "x"), "is not a setting of the network"),
        (Sysctl(".etc.passwd", "x"), "is not a setting of the network"),
        (Sysctl("net.ipv4.conf", "x\0y"), "field value"),
        (Sysctl("net.ipv4.ip_forward", " "), "field value"),
        (dataclasses.replace(VETH, host_name="sixteen-letters-"), "field host_name"),
        (dataclasses.replace(VETH, name="x@pod"), "field name"),
        (dataclasses.replace(VETH, netns="/etc/passwd"), "field netns"),
        (dataclasses.replace(VETH, netns="/run/netns/../x"), "field netns"),
        (dataclasses.replace(VETH, mtu=10), "field mtu: 10 is not between 68 and 65535"),
        (dataclasses.replace(VXLAN, vni=0), "field vni"),
        (dataclasses.replace(VXLAN, port=65536), "field port"),
        (dataclasses.replace(VXLAN, mtu=0), "field mtu is missing"),
        (dataclasses.replace(VXLAN, parent="eth0"), "field parent"),
        (LinkEnd("x"), "LinkEnd cannot be asked for"),
    ],
)
def test_what_the_kernel_would_not_take_is_refused_with_the_field_and_the_remedy(value: Any, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        checked(value)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (Route("10.9.0.0/16", link="x"), Route("10.9.0.0/16", link="x", scope="link")),
        (Route("fd00:0::/16", link="x", via="FD00::0:1"), Route("fd00::/16", link="x", via="fd00::1")),
        (Address("x", "10.9.0.1"), Address("x", "10.9.0.1/32")),
        (Neighbour("x", "10.9.0.1", "02:00:00:00:00:AA"), Neighbour("x", "10.9.0.1", "02:00:00:00:00:aa")),
        (Sysctl("net.ipv4.tcp_rmem", " 1 2  3 "), Sysctl("net.ipv4.tcp_rmem", "1\t2\t3")),
        (VETH, VETH),
        (dataclasses.replace(VETH, mtu=1500), VETH),
        (VXLAN, VXLAN),
    ],
)
def test_a_value_comes_back_as_the_kernel_gives_it_back(asked: Any, given: Any) -> None:
    assert checked(asked) == given
    assert checked(given) == given


@pytest.mark.parametrize("pods", ["10.1.0.0/16", "fd01::/48"])
def test_everything_that_the_agent_itself_renders_passes_unchanged(pods: str) -> None:
    ipv6 = ":" in pods
    text = (
        "ipamConfig: {podSubnetCIDR: 'fd01::/48', podSubnetOneNodePrefixLen: 112, vppHostSubnetCIDR: 'fd02::/48', "
        "vppHostSubnetOneNodePrefixLen: 112, vxlanCIDR: 'fd03::/112', serviceCIDR: 'fd04::/112'}"
        if ipv6
        else ""
    )
    config = ContivConfig.parse(text, node_name="node1")
    address = "fd09::1/64" if ipv6 else "10.0.0.1/24"
    own = OwnNode("node1", 1, (address,), (), 1500)
    other = RemoteNode(2, "node2", ("fd09::2/64" if ipv6 else "10.0.0.2/24",), ())
    pod = LocalPod(
        Sandbox(PodID("a", "default"), "c" * 64, "/run/netns/a", "eth0"), (str(config.plan.pod_subnet(1)[9]),)
    )
    renderer = LinuxConnectivity()
    rendered = {
        **renderer.own_node(own, config.plan),
        **renderer.remote_node(other, own, config.plan),
        **renderer.management_address("fd09::2" if ipv6 else "10.0.0.2", other, config.plan),
        **renderer.local_pod(pod, own, config.plan),
    }
    assert len(rendered) > 15
    assert {key: checked(value) for key, value in rendered.items()} == rendered


PARTS_OF_SERVICES = {NftDescriptor.prefix, ServiceFrontend.prefix, HealthPort.prefix}
"""Values that make sense only together with others of the same feature."""


def test_every_descriptor_says_what_can_be_asked_for(tmp_path: Path) -> None:
    plane = LinuxDataplane(tmp_path)
    assert {one.prefix for one in plane.descriptors()} - PARTS_OF_SERVICES == set(TYPES) == set(plane.value_types())
    for prefix, types in TYPES.items():
        assert all(kind.prefix == prefix for kind in types)

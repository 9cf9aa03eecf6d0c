"""What may be asked of VPP from outside: refused with the field and the remedy, or as VPP gives it back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from contivpp.agent.connectivity.vpp import VppConnectivity
from contivpp.agent.external.values import ItemError, catalogue_of, decode
from contivpp.agent.pods.api import Sandbox
from contivpp.agent.view import LocalPod, NodeNic, OwnNode, RemoteNode
from contivpp.dataplane.linux.plane import LinuxDataplane
from contivpp.dataplane.vpp.checks import TYPES, checked
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress, InterfaceTable, Table, Unnumbered
from contivpp.dataplane.vpp.values.arp import NeighbourLimits, ProxyArp, ProxyArpRange
from contivpp.dataplane.vpp.values.bridging import BridgeDomain, BridgeMember, VppForwardingEntry
from contivpp.dataplane.vpp.values.crossing import L2CrossConnect, L3CrossConnect
from contivpp.dataplane.vpp.values.dhcp import DhcpClient, DhcpLease
from contivpp.dataplane.vpp.values.interfaces import HostInterface, Loopback, VxlanTunnel
from contivpp.dataplane.vpp.values.memif import Memif, MemifSocket
from contivpp.dataplane.vpp.values.nic import Nic, Vmxnet3
from contivpp.dataplane.vpp.values.observed import InterfaceState
from contivpp.dataplane.vpp.values.punting import PuntRedirect
from contivpp.dataplane.vpp.values.receiving import RxMode, RxPlacement
from contivpp.dataplane.vpp.values.routing import VppNeighbour, VppRoute
from contivpp.dataplane.vpp.values.subinterfaces import SubInterface, TagRewrite
from contivpp.dataplane.vpp.values.tap import Tap
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID

MAC = "02:fe:00:00:00:01"
TAP = Tap("tap", "tap0", MAC, "02:fe:00:00:00:02", netns="/run/netns/a", mtu=1450)
MEMIF = Memif("memory", 1, 5, "master", MAC, secret="geheim")
TUNNEL = VxlanTunnel("t", "10.0.0.1", "10.0.0.2", 10)
NIC_3 = Vmxnet3("nic", "0000:0b:00.0")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Loopback("", MAC), "field name: '' is not a name"),
        (Loopback("x" * 41, MAC), "write 1 to 40 letters"),
        (Loopback("x|y", MAC), "field name"),
        (Loopback("x", "02:fe"), "field mac: '02:fe' is not a MAC address"),
        (Loopback("x", MAC, 10), "field mtu: 10 is not between 68 and 65535"),
        (HostInterface("x", "sixteen-letters-", MAC), "field host_name"),
        (HostInterface("x", "eth1"), "field mac: '' is not a MAC address"),
        (HostInterface("x", "eth1", MAC, mode="ip"), "an interface in mode ip has none"),
        (dataclasses.replace(TUNNEL, vni=0), "field vni: 0 is not between 1 and 16777215"),
        (dataclasses.replace(TUNNEL, destination="fd00::1"), "field destination: fd00::1 is not of the IP family"),
        (dataclasses.replace(TUNNEL, destination="10.0.0.1"), "is the source, too"),
        (dataclasses.replace(TAP, rx_ring=100), "field rx_ring: 100 is not a power of two: write 64"),
        (dataclasses.replace(TAP, tx_ring=32), "field tx_ring: 32 is not between 64 and 32768"),
        (dataclasses.replace(TAP, netns="x" * 64), "field netns"),
        (dataclasses.replace(TAP, host_mtu=9), "field host_mtu"),
        (dataclasses.replace(TAP, host_mac=""), "field host_mac"),
        (MemifSocket(0, "/run/x"), "field number: 0 is not between 1"),
        (MemifSocket(1, "x.sock"), "is not absolute: write one such as /run/vpp/memif.sock"),
        (MemifSocket(1, "/" + "x" * 107), "field path"),
        (dataclasses.replace(MEMIF, secret="x" * 24), "is longer than 23 bytes"),
        (dataclasses.replace(MEMIF, ring=1000), "field ring: 1000 is not a power of two: write 512"),
        (dataclasses.replace(MEMIF, mode="ip"), "field mac"),
        (dataclasses.replace(MEMIF, queues=0), "field queues"),
        (Nic("nic", ""), "field device is missing: write VPP's name of the NIC"),
        (dataclasses.replace(NIC_3, pci="0b:00.0"), "field pci: '0b:00.0' is not a PCI address"),
        (dataclasses.replace(NIC_3, rx_ring=8192), "field rx_ring"),
        (dataclasses.replace(NIC_3, tx_queues=9), "field tx_queues"),
        (SubInterface("x", "x", 100), "field parent: x is the interface itself"),
        (SubInterface("x", "y", 4095), "field vlan: 4095 is not between 1 and 4094"),
        (SubInterface("x", "y", 1, 4095), "field inner_vlan"),
        (TagRewrite("x", "push-1"), "field tag: 0 is not between 1 and 4094"),
        (TagRewrite("x", "push-1", 1, 2), "push-1 puts on 1 tags: leave out 2"),
        (TagRewrite("x", "translate-1-2", 1), "field inner_tag: 0 is not between"),
        (TagRewrite("x", "pop-1", service=True), "field service"),
        (RxMode("x", "polling", -1), "field queue"),
        (RxPlacement("x", 0, 999), "field worker"),
        (L2CrossConnect("x", "x"), "field to: x is the interface itself"),
        (L3CrossConnect("x", 4, "y", "fd00::1"), "field via"),
        (ProxyArp(""), "field interface"),
        (ProxyArpRange("10.0.0.9", "10.0.0.1"), "10.0.0.1 comes before 10.0.0.9: exchange them"),
        (ProxyArpRange("fd00::1", "fd00::2"), "field first"),
        (NeighbourLimits(4), "leave the item out"),
        (NeighbourLimits(4, -1), "field most"),
        (PuntRedirect(6, "x", "10.0.0.1"), "field via"),
        (DhcpClient("x", "y" * 64), "field hostname"),
        (Table(0, 4), "field vrf: 0 is not between 1"),
        (InterfaceTable("x", 0, 4), "field vrf"),
        (InterfaceAddress("x", "10.0.0"), "field address"),
        (Unnumbered("x", "x"), "field addresses_of"),
        (Unnumbered("x", "y", versions=()), "field versions: [] are not IP versions"),
        (BridgeDomain("x", 0), "field number"),
        (BridgeMember("x", 1, "y", group=256), "field group"),
        (VppForwardingEntry(1, "x", "y"), "field mac"),
        (VppRoute("10.0.0.1/8", interface="x"), "has bits set behind its prefix: write 10.0.0.0/8"),
        (VppRoute("10.0.0.0/8"), "say where packets to 10.0.0.0/8 go"),
        (VppRoute("10.0.0.0/8", via="10.0.0.1", kind="drop"), "leads nowhere"),
        (VppRoute("10.0.0.0/8", via="10.0.0.1", via_vrf=1), "leave out via and interface"),
        (VppRoute("10.0.0.0/8", vrf=1, via_vrf=1), "would look up in itself"),
        (VppRoute("10.0.0.0/8", via="fd00::1"), "write one of IPv4"),
        (VppRoute("10.0.0.0/8", interface="x", weight=0), "field weight"),
        (VppNeighbour("x", "10.0.0.1", "y"), "field mac"),
        (InterfaceState("x", "UP"), "InterfaceState cannot be asked for"),
        (DhcpLease("x", "10.0.0.1/8"), "DhcpLease cannot be asked for"),
    ],
)
def test_what_vpp_would_not_take_is_refused_with_the_field_and_the_remedy(value: Any, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        checked(value)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (Loopback("x", MAC.upper()), Loopback("x", MAC)),
        (VxlanTunnel("t", "FD00::0:1", "fd00:0::2", 10), VxlanTunnel("t", "fd00::1", "fd00::2", 10)),
        (dataclasses.replace(NIC_3, pci="0000:0B:00.0"), NIC_3),
        (InterfaceAddress("x", "10.9.0.1"), InterfaceAddress("x", "10.9.0.1/32")),
        (VppRoute("fd00:0::/16", via="FD00::1"), VppRoute("fd00::/16", via="fd00::1")),
        (Unnumbered("x", "y", versions=(6, 4, 6)), Unnumbered("x", "y", versions=(4, 6))),
        (TAP, TAP),
        (MEMIF, MEMIF),
        (Nic("GigabitEthernet0/8/0", "GigabitEthernet0/8/0"), Nic("GigabitEthernet0/8/0", "GigabitEthernet0/8/0")),
        (TagRewrite("x", "translate-2-2", 1, 2, service=True), TagRewrite("x", "translate-2-2", 1, 2, service=True)),
    ],
)
def test_a_value_comes_back_as_vpp_gives_it_back(asked: Any, given: Any) -> None:
    assert checked(asked) == given
    assert checked(given) == given


def test_everything_that_the_agent_itself_renders_passes_unchanged() -> None:
    config = ContivConfig.parse("dataplane: vpp", node_name="node1")
    own = OwnNode("node1", 1, ("192.168.16.1/24",), (), 1500, main_nic=NodeNic("eth1"), gateways=("192.168.16.254",))
    other = RemoteNode(2, "node2", ("192.168.16.2/24",), ())
    pod = LocalPod(
        Sandbox(PodID("a", "default"), "c" * 64, "/run/netns/a", "eth0"), (str(config.plan.pod_subnet(1)[9]),)
    )
    renderer = VppConnectivity()
    rendered = {
        **renderer.own_node(own, config.plan),
        **renderer.remote_node(other, own, config.plan),
        **renderer.management_address("10.0.0.2", other, config.plan),
        **renderer.local_pod(pod, own, config.plan),
    }
    of_vpp = {key: value for key, value in rendered.items() if key.startswith("vpp/")}
    assert len(of_vpp) > 25
    assert {key: checked(value) for key, value in of_vpp.items()} == of_vpp


def test_every_descriptor_says_what_can_be_asked_for() -> None:
    plane = VppDataplane(Path("/nowhere"))
    only_seen = {InterfaceState.prefix, DhcpLease.prefix, "vpp/device/"}
    assert {one.prefix for one in plane.descriptors()} - only_seen == set(TYPES) == set(plane.value_types())
    for prefix, types in TYPES.items():
        assert all(kind.prefix == prefix for kind in types)


def test_one_catalogue_has_the_values_of_both_data_planes(tmp_path: Path) -> None:
    both = catalogue_of(LinuxDataplane(tmp_path), VppDataplane(Path("/nowhere")))
    route = decode(both, "me", "linux/route/node/254/10.9.0.0/16/0", b'{"to": "10.9.0.0/16", "link": "x"}', where="k")
    assert len(route.partials) == 1
    tap = json.dumps({"name": "tap", "host_name": "tap0", "mac": MAC, "host_mac": MAC}).encode()
    [partial] = decode(both, "me", "vpp/interface/tap", tap, where="k").partials
    assert checked(partial.build()) == Tap("tap", "tap0", MAC, MAC)
    vlan = json.dumps({"name": "x", "parent": "y", "vlan": 9999}).encode()
    with pytest.raises(ItemError, match=r"field vlan: 9999 is not between 1 and 4094"):
        decode(both, "me", "vpp/interface/x", vlan, where="k")
    with pytest.raises(ItemError, match=r"field host_nam is unknown; did you mean host_name\?"):
        decode(both, "me", "vpp/interface/x", b'{"name": "x", "host_nam": "eth1"}', where="k")
    with pytest.raises(ItemError, match=r"has no values under this key"):
        decode(both, "me", "vpp/interface-state/x", b"{}", where="k")

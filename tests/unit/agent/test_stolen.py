"""A stolen NIC in the agent: from what contiv-stn says to what VPP and the host's kernel get."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contivpp.agent.connectivity.vpp import VppConnectivity
from contivpp.agent.events import Lease
from contivpp.agent.node_address import attachment_of, choose_node_addresses, why_no_address
from contivpp.agent.services.vpp import VppServices
from contivpp.agent.stolen import NicGoneError, Stolen, StolenNic
from contivpp.agent.view import OwnNode, RemoteNode
from contivpp.daemon.stn.client import Hop, NicState, StnDownError, StnError
from contivpp.dataplane.linux.values import Address, Route
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress
from contivpp.dataplane.vpp.values.dhcp import DhcpClient
from contivpp.dataplane.vpp.values.interfaces import HostInterface
from contivpp.dataplane.vpp.values.nic import Nic, Vmxnet3
from contivpp.dataplane.vpp.values.observed import pci_name, pci_name_of
from contivpp.dataplane.vpp.values.punting import PuntRedirect
from contivpp.dataplane.vpp.values.routing import VppRoute
from contivpp.dataplane.vpp.values.source_nat import SourceNatInterface
from contivpp.model.config import ContivConfig

STATE = NicState(
    phase="stolen",
    name="eth0",
    driver="vfio-pci",
    kernel_driver="e1000e",
    pci="0000:00:03.0",
    mac="02:00:00:00:00:05",
    mtu=1500,
    addresses=("10.0.9.5/24", "10.0.0.5/24", "fd00::5/64", "fe80::5/64"),
    routes=(
        Hop("", "10.0.0.254", metric=200),
        Hop("", "10.0.0.1", metric=100),
        Hop("172.16.0.0/12", "10.0.0.7"),
        Hop("10.44.0.1/32", ""),
        Hop("", "fd00::1"),
    ),
)
LINK = (("eth0", "", 1500),)


def node_of(state: NicState | None, *, more: str = "", leases: tuple[Lease, ...] = ()) -> OwnNode:
    config = config_of(more)
    stolen = None if state is None else Stolen.of(state)
    addresses, mtu = choose_node_addresses(config, config.plan, 1, ("10.0.0.5",), LINK, leases, stolen)
    attributes = attachment_of(config, LINK, leases, stolen)
    return OwnNode("node1", id=1, addresses=addresses, mtu=mtu, management=("10.0.0.5",), **attributes)


def config_of(more: str = "") -> ContivConfig:
    config = ContivConfig.parse(f"{{dataplane: vpp, stealInterface: eth0{more}}}", node_name="node1")
    assert config.unsupported() == []
    return config


def rendered(own: OwnNode, more: str = "") -> list[Any]:
    return list(VppConnectivity().own_node(own, config_of(more).plan).values())


def changed(**fields: Any) -> NicState:
    from dataclasses import replace

    return replace(STATE, **fields)


def of(values: list[Any], kind: type) -> list[Any]:
    return [value for value in values if isinstance(value, kind)]


def test_without_a_stolen_nic_there_is_no_node() -> None:
    own = node_of(None)
    assert (own.addresses, own.main_nic) == ((), None)
    assert "has no address" in why_no_address(config_of(), "node1", ())


def test_vpp_gets_the_nic_with_all_that_the_kernel_had_on_it() -> None:
    own = node_of(STATE)
    assert own.addresses == ("10.0.0.5/24",), "the one that Kubernetes knows, and none of a family that pods lack"
    values = rendered(own)
    assert Nic("eth0", pci_name("0000:00:03.0")) in values
    there = {one.address for one in of(values, InterfaceAddress) if one.interface == "eth0"}
    assert there == {"10.0.9.5/24", "10.0.0.5/24"}
    routes = {(one.to, one.via) for one in of(values, VppRoute) if one.interface == "eth0"}
    assert routes == {("0.0.0.0/0", "10.0.0.1"), ("172.16.0.0/12", "10.0.0.7"), ("10.44.0.1/32", "")}


def test_the_host_has_the_same_addresses_and_routes_by_way_of_vpp() -> None:
    values = rendered(node_of(STATE))
    addresses = {one.address for one in of(values, Address) if one.link == "vpp1"}
    assert {"10.0.0.5/32", "10.0.9.5/32"} <= addresses
    behind = {one.to: (one.via, one.source) for one in of(values, Route) if one.source}
    assert behind == {
        "10.0.0.0/24": ("172.30.1.1", "10.0.0.5"),
        "10.0.9.0/24": ("172.30.1.1", "10.0.9.5"),
        "0.0.0.0/0": ("172.30.1.1", "10.0.0.5"),
        "172.16.0.0/12": ("172.30.1.1", "10.0.0.5"),
        "10.44.0.1/32": ("172.30.1.1", "10.0.0.5"),
    }
    assert "10.0.0.5/32" not in {one.to for one in of(values, Route)}, "its own address is not behind VPP"


def test_what_vpp_does_not_take_itself_goes_to_the_host_with_its_source() -> None:
    own = node_of(STATE)
    assert of(rendered(own), PuntRedirect) == [PuntRedirect(4, "afpacket-vpp2", "172.30.1.2")]
    services = VppServices().node(own, config_of().plan, hide_pods=True)
    assert SourceNatInterface("afpacket-vpp2", "host") in services.values()


def test_a_link_that_vpp_attaches_to_keeps_its_mac() -> None:
    own = node_of(changed(driver="af_packet", pci=""))
    assert HostInterface("eth0", "eth0", "02:00:00:00:00:05", 1500) in rendered(own)


def test_a_device_has_the_name_that_is_configured_and_vmwares_follows_from_its_address() -> None:
    named = ", nodeConfig: [{nodeName: node1, mainVPPInterface: {interfaceName: GigabitEthernet0/3/0}}]"
    assert of(rendered(node_of(STATE, more=named), named), Nic) == [Nic("GigabitEthernet0/3/0", "GigabitEthernet0/3/0")]
    own = node_of(changed(pci="0000:0b:00.0", kernel_driver="vmxnet3"))
    assert [(one.name, one.pci) for one in of(rendered(own), Vmxnet3)] == [("vmxnet3-0/b/0/0", "0000:0b:00.0")]


def test_both_families_are_carried_over_where_pods_have_both() -> None:
    dual = ", ipamConfig: {podSubnetCIDR: '10.1.0.0/16,fd00:10:1::/48'}"
    own = node_of(STATE, more=dual)
    assert own.addresses == ("10.0.0.5/24", "fd00::5/64")
    assert own.gateways == ("10.0.0.1", "fd00::1")
    values = rendered(own, dual)
    assert "fd00::5/128" in {one.address for one in of(values, Address)}
    assert {"::/0", "fd00::/64"} <= {one.to for one in of(values, Route) if one.source == "fd00::5"}
    assert {one.version for one in of(values, PuntRedirect)} == {4, 6}


def test_with_dhcp_vpp_asks_and_the_lease_is_the_hosts() -> None:
    waiting = node_of(changed(dhcp=True))
    assert waiting.addresses == () and waiting.asks_dhcp
    own = node_of(changed(dhcp=True), leases=(Lease("eth0", "10.0.0.77/24", "10.0.0.1"),))
    assert own.addresses == ("10.0.0.77/24",)
    values = rendered(own)
    assert DhcpClient("eth0", "node1") in values
    assert not [one for one in of(values, InterfaceAddress) if one.interface == "eth0"], "VPP puts it there itself"
    assert {"10.0.0.77/32"} <= {one.address for one in of(values, Address)}
    assert {one.to for one in of(values, Route) if one.source == "10.0.0.77"} >= {"0.0.0.0/0", "10.0.0.0/24"}


@pytest.mark.parametrize(("published", "direct"), [(("10.0.0.6/24",), True), ((), True), (("192.168.16.6/24",), False)])
def test_other_nodes_are_reached_directly_unless_they_have_a_nic_besides(
    published: tuple[str, ...], direct: bool
) -> None:
    node = RemoteNode(2, "node2", published, ("10.0.0.6",))
    values = VppConnectivity().management_address("10.0.0.6", node, config_of().plan, stolen=True)
    assert (values == {}) is direct


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("GigabitEthernet0/3/0", "0000:00:03.0"),
        ("VirtualFunctionEtherneta/1f/7", "0000:0a:1f.7"),
        ("TenGigabitEthernet-1/0/3/0", "0001:00:03.0"),
    ],
)
def test_a_device_is_known_by_what_its_name_ends_with(name: str, address: str) -> None:
    assert pci_name_of(name) == pci_name(address)


def test_other_names_say_nothing_of_an_address() -> None:
    assert [pci_name_of(name) for name in ("loop0", "host-eth0", "uplink", "NetVSC0")] == ["", "", "", ""]


class Source:
    """Says one thing after the other, and the last one for ever."""

    def __init__(self, *answers: NicState | Exception) -> None:
        self.answers = list(answers)

    async def state(self, name: str = "") -> NicState:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_nic_is_waited_for_with_the_reason_and_its_loss_ends_the_agent() -> None:
    nic = StolenNic(Source(StnDownError("nobody answers")), "eth0", period=0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await anext(nic.watch())
    assert nic.why_not() == "nobody answers"
    back = changed(phase="returned", reason="VPP does not run for 30 s")
    nic = StolenNic(Source(back, StnError("no"), STATE, StnDownError("restarting"), STATE, back), "eth0", period=0)
    watching = nic.watch()
    assert await anext(watching) == Stolen.of(STATE)
    assert nic.why_not() == ""
    with pytest.raises(NicGoneError, match="eth0 is not stolen, it is returned: VPP does not run for 30 s"):
        await anext(watching)

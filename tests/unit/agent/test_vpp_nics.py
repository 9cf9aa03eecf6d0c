"""NICs of a node on VPP: one, several, by DHCP, devices that VPP has itself, and none."""

from __future__ import annotations

from typing import Any

import pytest

from contivpp.agent.connectivity.vpp import VppConnectivity
from contivpp.agent.connectivity.vpp_nics import NicTuning, vmxnet3_address
from contivpp.agent.events import Lease
from contivpp.agent.node_address import attachment_of, choose_node_addresses, why_no_address
from contivpp.agent.view import OwnNode
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress
from contivpp.dataplane.vpp.values.dhcp import DhcpClient
from contivpp.dataplane.vpp.values.interfaces import HostInterface
from contivpp.dataplane.vpp.values.nic import Nic, Vmxnet3
from contivpp.dataplane.vpp.values.receiving import RxMode
from contivpp.dataplane.vpp.values.routing import VppRoute
from contivpp.model.config import ContivConfig

HOST = (("eth0", "10.0.0.1/24", 1500), ("eth1", "", 9000), ("eth2", "", 1500))
LEASES = (Lease("eth1", "192.168.16.77/24", "192.168.16.254"), Lease("eth2", "10.77.0.2/24", "10.77.0.1"))


def node_of(text: str, leases: tuple[Lease, ...] = ()) -> tuple[OwnNode, dict[str, Any]]:
    """The node that a configuration makes, and what VPP is to hold of it."""
    config = ContivConfig.parse(f"{{dataplane: vpp, {text}}}", node_name="node1")
    assert config.unsupported() == []
    addresses, mtu = choose_node_addresses(config, config.plan, 1, (), HOST, leases)
    own = OwnNode("node1", id=1, addresses=addresses, mtu=mtu, **attachment_of(config, HOST, leases))
    renderer = VppConnectivity(mtu=config.mtu_size, nics=NicTuning(rx_mode="polling", vmxnet3_rx_ring=512))
    return own, dict(renderer.own_node(own, config.plan))


def of(values: dict[str, Any], kind: type) -> list[Any]:
    return [value for value in values.values() if isinstance(value, kind)]


def test_several_nics_have_their_addresses_and_a_mac_each() -> None:
    own, values = node_of(
        "nodeConfig: [{nodeName: node1, mainVPPInterface: {interfaceName: eth1, ip: '192.168.16.1/24,fd16::1/64'}, "
        "gateway: '192.168.16.254,fd16::ff', "
        "otherVPPInterfaces: [{interfaceName: eth2, ip: 10.77.0.1/24}, {interfaceName: eth3, useDHCP: true}]}]"
    )
    assert own.addresses == ("192.168.16.1/24", "fd16::1/64")
    nics = [one for one in of(values, HostInterface) if one.name.startswith("eth")]
    assert [(one.host_name, one.mtu) for one in nics] == [("eth1", 9000), ("eth2", 1500), ("eth3", 1500)]
    assert len({one.mac for one in nics}) == 3
    addresses = {(one.interface, one.address) for one in of(values, InterfaceAddress)}
    assert {("eth1", "192.168.16.1/24"), ("eth1", "fd16::1/64"), ("eth2", "10.77.0.1/24")} <= addresses
    assert of(values, DhcpClient) == [DhcpClient("eth3", "node1")]
    default = {(one.to, one.via) for one in of(values, VppRoute) if one.interface == "eth1"}
    assert default == {("0.0.0.0/0", "192.168.16.254"), ("::/0", "fd16::ff")}
    assert {one.interface for one in of(values, RxMode)} == {"eth1", "eth2", "eth3"}


def test_a_node_without_its_lease_asks_for_one_and_has_no_tunnels_yet() -> None:
    own, values = node_of(
        "ipamConfig: {nodeInterconnectDHCP: true}, "
        "nodeConfig: [{nodeName: node1, mainVPPInterface: {interfaceName: eth1}}]"
    )
    assert own.addresses == ()
    assert of(values, DhcpClient) == [DhcpClient("eth1", "node1")]
    assert "vpp/interface/vxlanBVI" not in values
    assert "vpp/address/podGwLoop/ip4/10.1.1.1/24" in values, "its own pods do not have to wait"


def test_a_lease_gives_the_node_its_address_and_vpp_puts_it_there_itself() -> None:
    own, values = node_of(
        "nodeConfig: [{nodeName: node1, mainVPPInterface: {interfaceName: eth1, useDHCP: true}}]", LEASES
    )
    assert (own.addresses, own.mtu, own.gateways) == (("192.168.16.77/24",), 9000, ("192.168.16.254",))
    assert not [one for one in of(values, InterfaceAddress) if one.interface == "eth1"]
    assert not [one for one in of(values, VppRoute) if one.interface == "eth1"]
    assert "vpp/interface/vxlanBVI" in values


def test_an_address_in_the_file_ends_dhcp() -> None:
    own, values = node_of(
        "ipamConfig: {nodeInterconnectDHCP: true}, "
        "nodeConfig: [{nodeName: node1, mainVPPInterface: {interfaceName: eth1, ip: 192.168.16.1/24}}]",
        LEASES,
    )
    assert own.addresses == ("192.168.16.1/24",)
    assert not of(values, DhcpClient)


def test_what_has_a_slash_in_its_name_is_vpps_own_device() -> None:
    own, values = node_of(
        "mtuSize: 8900, ipamConfig: {nodeInterconnectCIDR: 192.168.16.0/24}, nodeConfig: [{nodeName: node1, "
        "mainVPPInterface: {interfaceName: GigabitEthernet0/8/0}, "
        "otherVPPInterfaces: [{interfaceName: vmxnet3-0/b/0/1}]}]"
    )
    assert own.addresses == ("192.168.16.1/24",)
    assert of(values, Nic) == [Nic("GigabitEthernet0/8/0", "GigabitEthernet0/8/0", 8970)]
    [vmware] = of(values, Vmxnet3)
    assert (vmware.pci, vmware.rx_ring) == ("0000:0b:00.1", 512)


def test_a_node_without_a_nic_has_its_address_on_a_loopback() -> None:
    own, values = node_of("ipamConfig: {nodeInterconnectCIDR: 192.168.16.0/24}")
    assert own.main_nic is None
    assert InterfaceAddress("loopbackNIC", "192.168.16.1/24") in of(values, InterfaceAddress)


def test_what_is_missing_is_said() -> None:
    config = ContivConfig.parse(
        "{dataplane: vpp, nodeConfig: [{nodeName: node1, mainVPPInterface: {interfaceName: eth1, useDHCP: true}}]}",
        node_name="node1",
    )
    assert "no DHCP server has given eth1 one yet" in why_no_address(config, "node1", ())


@pytest.mark.parametrize(
    ("name", "address"), [("vmxnet3-0/b/0/0", "0000:0b:00.0"), ("GigabitEthernet0/8/0", ""), ("vmxnet3-0/b", "")]
)
def test_vmwares_nics_are_known_by_their_name(name: str, address: str) -> None:
    assert vmxnet3_address(name) == address

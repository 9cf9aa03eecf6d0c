"""What the options of contiv.conf must be, each and together; every mistake is noted, none ends the reading.

An option that has a mistake of its own is left out of the checks that compare options, so that one mistake
is one sentence. Source: spec/agent.md 3.1-3.3, 7.1, 7.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from contivpp.model.option_texts import address_of, interface_of, split, subnet_of
from contivpp.model.options import Problems, as_options

if TYPE_CHECKING:
    from contivpp.model.config import ContivConfig, NodeConfig

_UNSIGNED = {
    "tapInterfaceVersion": range(1, 3),
    "tapv2RxRingSize": range(32769),
    "tapv2TxRingSize": range(32769),
    "vmxnet3RxRingSize": range(4097),
    "vmxnet3TxRingSize": range(4097),
    "mainVRFID": range(1 << 32),
    "podVRFID": range(1 << 32),
    "ipNeighborScanInterval": range(256),
    "ipNeighborStaleThreshold": range(256),
    "stnVersion": range(256),
}


def check_options(config: ContivConfig, problems: Problems) -> None:
    """Checks everything but the address plan."""
    options = as_options(config)
    for option, allowed in _UNSIGNED.items():
        if not problems.at(option) and options[option] not in allowed:
            problems.add(option, f"must be {allowed.start} to {allowed.stop - 1}, not {options[option]}")
    if not problems.at("mainVRFID", "podVRFID") and config.main_vrf_id == config.pod_vrf_id:
        problems.add("podVRFID", f"{config.pod_vrf_id} is mainVRFID as well; give pods a table of their own")
    for option, value in as_options(config.ipam_config.srv6).items():
        place = f"ipamConfig.srv6.{option}"
        if option.endswith("CIDR") and not problems.at(place):
            subnet = subnet_of(place, value, problems)
            if subnet is not None and subnet.version != 6:
                problems.add(place, f"{value} is not an IPv6 subnet, and a segment identifier is an IPv6 address")
    for number, node in enumerate(config.node_config):
        _check_node(f"nodeConfig[{number}]", node, problems)


def _check_node(place: str, node: NodeConfig, problems: Problems) -> None:
    if not node.node_name and not problems.at(f"{place}.nodeName"):
        problems.add(f"{place}.nodeName", "is missing; say which node the entry is for")
    if node.gateway:
        _each(f"{place}.gateway", node.gateway, address_of, problems)
    nics = [(f"{place}.otherVPPInterfaces[{index}]", nic) for index, nic in enumerate(node.other_vpp_interfaces)]
    if node.main_vpp_interface is not None:
        nics.append((f"{place}.mainVPPInterface", node.main_vpp_interface))
    names: dict[str, str] = {}
    for option, nic in nics:
        if not nic.interface_name and ".other" in option:
            problems.add(f"{option}.interfaceName", "is missing; name a link of the kernel, or a device of VPP")
        if nic.interface_name and (first := names.setdefault(nic.interface_name, option)) != option:
            problems.add(f"{option}.interfaceName", f"{nic.interface_name} is {first} already; keep one of the two")
        _each(f"{option}.ip", nic.ip, interface_of, problems)


def _each(option: str, text: str, parse: Callable[[str, str, Problems], Any], problems: Problems) -> None:
    """One, or one of each IP version."""
    members = [parse(option, part, problems) for part in split(text)]
    versions = [member.version for member in members if member is not None]
    if len(versions) != len(set(versions)):
        problems.add(option, f"{text!r} has two of one IP version; name one, or an IPv4 and an IPv6 one")

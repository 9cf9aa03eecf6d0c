"""contiv.conf: the options of the original with its defaults, and `dataplane`.

Source: spec/agent.md 3.1, 3.2, spec/cluster.md 7.2. A mistake is a `ConfigError` that names the option; all
mistakes of a file come in one error. What the options must be is in `config_checks`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from contivpp.model.address_options import address_plan
from contivpp.model.addressplan import AddressPlan
from contivpp.model.config_checks import check_options
from contivpp.model.option_texts import split
from contivpp.model.options import ConfigError, Problems, as_options, named, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Srv6Config:
    """Prefixes of segment identifiers, by what they are for."""

    service_policy_bsid_subnet: str = named("servicePolicyBSIDSubnetCIDR", "8fff::/16")
    service_pod_local_sid_subnet: str = named("servicePodLocalSIDSubnetCIDR", "9300::/16")
    service_host_local_sid_subnet: str = named("serviceHostLocalSIDSubnetCIDR", "9300::/16")
    service_node_local_sid_subnet: str = named("serviceNodeLocalSIDSubnetCIDR", "9000::/16")
    node_to_node_pod_local_sid_subnet: str = named("nodeToNodePodLocalSIDSubnetCIDR", "9501::/16")
    node_to_node_host_local_sid_subnet: str = named("nodeToNodeHostLocalSIDSubnetCIDR", "9500::/16")
    node_to_node_pod_policy_sid_subnet: str = named("nodeToNodePodPolicySIDSubnetCIDR", "8501::/16")
    node_to_node_host_policy_sid_subnet: str = named("nodeToNodeHostPolicySIDSubnetCIDR", "8500::/16")
    sfc_policy_bsid_subnet: str = named("sfcPolicyBSIDSubnetCIDR", "8eee::/16")
    sfc_service_function_sid_subnet: str = named("sfcServiceFunctionSIDSubnetCIDR", "9600::/16")
    sfc_end_local_sid_subnet: str = named("sfcEndLocalSIDSubnetCIDR", "9310::/16")
    sfc_id_length: int = named("sfcIDLengthUsedInSidForServiceFunction", 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class IpamConfig:
    """Where addresses come from; subnets as text with prefix length, "" for not set.

    A cluster with both IP families names two subnets, separated by a comma, and the first family is the pods' main one.
    The prefix lengths "...IPv6" are those of the IPv6 subnet then; 0 makes it 64, or longer if nodes would not fit.
    """

    use_external_ipam: bool = named("useExternalIPAM", default=False)
    contiv_cidr: str = named("contivCIDR", "")
    service_cidr: str = named("serviceCIDR", "10.96.0.0/12")
    node_interconnect_dhcp: bool = named("nodeInterconnectDHCP", default=False)
    pod_subnet_cidr: str = named("podSubnetCIDR", "10.1.0.0/16")
    pod_subnet_one_node_prefix_len: int = 24
    pod_subnet_one_node_prefix_len_ipv6: int = named("podSubnetOneNodePrefixLenIPv6", 0)
    vpp_host_subnet_cidr: str = named("vppHostSubnetCIDR", "172.30.0.0/16")
    vpp_host_subnet_one_node_prefix_len: int = 24
    vpp_host_subnet_one_node_prefix_len_ipv6: int = named("vppHostSubnetOneNodePrefixLenIPv6", 0)
    node_interconnect_cidr: str = named("nodeInterconnectCIDR", "")
    vxlan_cidr: str = named("vxlanCIDR", "192.168.30.0/24")
    default_gateway: str = ""
    srv6: Srv6Config = dataclasses.field(default_factory=Srv6Config)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceConfig:
    """One NIC of a node; `ip` with prefix length, an IPv4 and an IPv6 one separated by a comma."""

    interface_name: str = ""
    ip: str = ""
    use_dhcp: bool = named("useDHCP", default=False)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses one by one."""
        return tuple(split(self.ip))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """What is particular to one node."""

    node_name: str = ""
    main_vpp_interface: InterfaceConfig | None = dataclasses.field(
        default=None, metadata={"option": "mainVPPInterface"}
    )
    other_vpp_interfaces: tuple[InterfaceConfig, ...] = named("otherVPPInterfaces", ())
    steal_interface: str = ""
    gateway: str = ""
    nat_external_traffic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContivConfig:
    """The whole file. `mtu_size` is in bytes, 0 leaves it to the data plane; intervals are in minutes."""

    dataplane: Literal["linux", "vpp"] = "linux"
    mtu_size: int = 0
    use_tap_interfaces: bool = named("useTAPInterfaces", default=True)
    tap_interface_version: int = 2
    tapv2_rx_ring_size: int = 0
    tapv2_tx_ring_size: int = 0
    vmxnet3_rx_ring_size: int = 0
    vmxnet3_tx_ring_size: int = 0
    interface_rx_mode: Literal["", "default", "polling", "interrupt", "adaptive"] = ""
    tcp_checksum_offload_disabled: bool = True
    enable_gso: bool = named("enableGSO", default=False)
    main_vrf_id: int = named("mainVRFID", 0)
    pod_vrf_id: int = named("podVRFID", 1)
    node_to_node_transport: Literal["vxlan", "srv6", "nooverlay"] = "vxlan"
    use_srv6_for_services: bool = named("useSRv6ForServices", default=False)
    use_srv6_for_sfc: bool = named("useSRv6ForServiceFunctionChaining", default=False)
    use_dx6: bool = named("useDX6ForSrv6NodetoNodeTransport", default=False)
    route_service_cidr_to_vpp: bool = named("routeServiceCIDRToVPP", default=False)
    scan_ip_neighbors: bool = named("scanIPNeighbors", default=True)
    ip_neighbor_scan_interval: int = 1
    ip_neighbor_stale_threshold: int = 4
    steal_first_nic: bool = named("stealFirstNIC", default=False)
    steal_interface: str = ""
    stn_socket_file: str = "/var/run/contiv/stn.sock"
    stn_version: int = 0
    nat_external_traffic: bool = True
    enable_packet_trace: bool = False
    crd_node_configuration_disabled: bool = True
    ipam_config: IpamConfig = dataclasses.field(default_factory=IpamConfig)
    node_config: tuple[NodeConfig, ...] = ()
    own_node: NodeConfig | None = dataclasses.field(default=None, init=False)
    plan: AddressPlan = dataclasses.field(init=False)
    given: frozenset[str] = dataclasses.field(default=frozenset(), init=False)

    @property
    def steals_nic(self) -> bool:
        """Whether VPP gets the NIC that the node's address is on."""
        return self.dataplane == "vpp" and (self.steal_first_nic or bool(self.nic_to_steal))

    @property
    def nic_to_steal(self) -> str:
        """The name of that NIC; "" when it is not named."""
        return (self.own_node.steal_interface if self.own_node is not None else "") or self.steal_interface

    @property
    def has_overlay(self) -> bool:
        """Whether tunnels carry packets between nodes; else the nodes' network does."""
        return self.node_to_node_transport != "nooverlay"

    @classmethod
    def parse(cls, text: str, *, node_name: str = "", source: str = "contiv.conf") -> ContivConfig:
        """Reads the file for a node.

        Raises:
            ConfigError: with every mistake.
        """
        reading = read(cls, text, source=source)
        config, problems = reading.record, reading.problems
        check_options(config, problems)
        plan = address_plan(config, reading.given, problems)
        problems.check(source)
        own = next((node for node in config.node_config if node.node_name == node_name), None)
        object.__setattr__(config, "own_node", own)
        object.__setattr__(config, "plan", plan)
        object.__setattr__(config, "given", reading.given)
        return config

    def with_own_node(self, node: NodeConfig) -> ContivConfig:
        """This configuration with another entry for this node, whose name it has; the other entries stay.

        Raises:
            ConfigError: with every mistake in the entry, and what this build cannot do, by the names of its options.
        """
        others = tuple(entry for entry in self.node_config if entry.node_name != node.node_name)
        changed = dataclasses.replace(self, node_config=(*others, node))
        problems = Problems()
        check_options(changed, problems)
        plan = address_plan(changed, self.given, problems)
        mistakes = [*problems.sentences, *changed.unsupported()]
        if mistakes:
            place = f"nodeConfig[{len(others)}]."
            raise ConfigError(node.node_name, [sentence.removeprefix(place) for sentence in mistakes])
        object.__setattr__(changed, "own_node", node)
        object.__setattr__(changed, "plan", plan)
        object.__setattr__(changed, "given", self.given)
        return changed

    def ipam_as_used(self) -> dict[str, Any]:
        """The addressing options by the original's names, with what the address plan made of them."""
        families = self.plan.families
        main = families[0] if len(families) == 1 else min(families, key=lambda plan: plan.version)

        def joined(subnets: Iterable[object]) -> str:
            return ",".join(str(subnet) for subnet in subnets if subnet is not None)

        used = {
            **as_options(self.ipam_config),
            "serviceCIDR": joined(plan.service_subnet for plan in families),
            "podSubnetCIDR": joined(plan.pod_subnet_all for plan in families),
            "podSubnetOneNodePrefixLen": main.pod_prefix,
            "vppHostSubnetCIDR": joined(plan.host_link_subnet_all for plan in families),
            "vppHostSubnetOneNodePrefixLen": main.host_link_prefix,
            "vxlanCIDR": joined(plan.vxlan_subnet for plan in families),
            "nodeInterconnectCIDR": joined(plan.node_subnet for plan in families),
        }
        if len(families) > 1:
            ipv6 = max(families, key=lambda plan: plan.version)
            used["podSubnetOneNodePrefixLenIPv6"] = ipv6.pod_prefix
            used["vppHostSubnetOneNodePrefixLenIPv6"] = ipv6.host_link_prefix
        return used

    def unsupported(self) -> list[str]:
        """What the file asks for and this build cannot do on its data plane: one sentence per option.

        The network would not be the one that was asked for, so an agent that gets an answer must not start.
        """
        ipam, on = self.ipam_config, f"on the {self.dataplane} data plane"
        asked = {
            "nodeToNodeTransport": self.node_to_node_transport == "srv6",
            "useSRv6ForServices": self.use_srv6_for_services,
            "useSRv6ForServiceFunctionChaining": self.use_srv6_for_sfc,
            "useDX6ForSrv6NodetoNodeTransport": self.use_dx6,
            "stealFirstNIC": self.steal_first_nic and self.dataplane == "linux",
            "stealInterface": bool(self.steal_interface) and self.dataplane == "linux",
            "ipamConfig.useExternalIPAM": ipam.use_external_ipam,
        }
        sentences = [
            f"{option}: {_as_text(self._value_of(option))} is not supported {on}; remove it"
            for option in asked
            if asked[option]
        ]
        for number, node in enumerate(self.node_config):
            of_node = {
                "stealInterface": bool(node.steal_interface) and self.dataplane == "linux",
                "otherVPPInterfaces": bool(node.other_vpp_interfaces) and self.dataplane == "linux",
            }
            sentences += [
                f"nodeConfig[{number}].{option}: is not supported {on}; remove it"
                for option in of_node
                if of_node[option]
            ]
        return sentences

    def without_effect(self) -> list[str]:
        """What the file says and does not matter on its data plane: one sentence per option, for the log."""
        sentences = [
            f"{option}: has no effect on the {self.dataplane} data plane: {reason}"
            for option, reason in _WITHOUT_EFFECT[self.dataplane].items()
            if option in self.given
        ]
        if self.ipam_config.contiv_cidr:
            sentences += [
                f"{option}: has no effect: ipamConfig.contivCIDR decides"
                for option in _DECIDED_BY_CONTIV_CIDR
                if option in self.given
            ]
        return sentences

    def _value_of(self, option: str) -> Any:
        value: Any = as_options(self)
        for part in option.split("."):
            value = value[part]
        return value


_DECIDED_BY_CONTIV_CIDR = (
    "ipamConfig.podSubnetCIDR",
    "ipamConfig.podSubnetOneNodePrefixLen",
    "ipamConfig.vppHostSubnetCIDR",
    "ipamConfig.vppHostSubnetOneNodePrefixLen",
    "ipamConfig.vxlanCIDR",
)
_OF_VPP = "it tunes VPP"
_WITHOUT_EFFECT: dict[str, dict[str, str]] = {
    "vpp": {
        "tapInterfaceVersion": "VPP has version 2 only",
        "routeServiceCIDRToVPP": "VPP translates cluster IPs for the host always",
        "ipNeighborScanInterval": "VPP asks a neighbour when it has been silent for ipNeighborStaleThreshold",
        "stnVersion": "there is one way to hand the host its packets",
        "enablePacketTrace": "vppctl traces when it is asked to",
        "ipamConfig.srv6": "nothing uses SRv6",
    },
    "linux": {
        "useTAPInterfaces": "pods are attached by veth pairs",
        "tapInterfaceVersion": "pods are attached by veth pairs",
        "tapv2RxRingSize": _OF_VPP,
        "tapv2TxRingSize": _OF_VPP,
        "vmxnet3RxRingSize": _OF_VPP,
        "vmxnet3TxRingSize": _OF_VPP,
        "interfaceRxMode": _OF_VPP,
        "tcpChecksumOffloadDisabled": "checksums are right without it",
        "enableGSO": "the kernel segments by itself",
        "mainVRFID": "the kernel's main table is the node's",
        "podVRFID": "the kernel's main table is the node's",
        "routeServiceCIDRToVPP": "the host translates cluster IPs itself",
        "scanIPNeighbors": "the kernel watches its neighbours",
        "ipNeighborScanInterval": "the kernel watches its neighbours",
        "ipNeighborStaleThreshold": "the kernel watches its neighbours",
        "stnSocketFile": "no NIC is stolen",
        "stnVersion": "no NIC is stolen",
        "enablePacketTrace": _OF_VPP,
        "ipamConfig.srv6": "nothing uses SRv6",
        "nodeConfig.gateway": "the host has its own default route",
        "nodeConfig.mainVPPInterface.useDHCP": "the host's own DHCP client asks",
        "ipamConfig.nodeInterconnectDHCP": "the host's own DHCP client asks",
        "ipamConfig.defaultGateway": "it only keeps its address from being given to a node",
    },
}


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

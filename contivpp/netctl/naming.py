"""What addresses, subnets and interfaces of a node are in Kubernetes' words, whatever forwards there.

Made of the cluster's records in etcd, of the address plan, and of the node's own list of pods. Whoever has further
records (services, policies) adds their names: what looks a name up does not know where it came from.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from contivpp.model import sandbox
from contivpp.model.addressplan import AddressPlanError, part_of_node
from contivpp.model.pod import on_host_network
from contivpp.netctl.agents import Agents
from contivpp.netctl.cluster import Cluster, ClusterNode, pod_name

_TUNNEL: Final = "vxlan-default-"
_PLAN: Final = (
    ("podSubnetCIDR", "podSubnetOneNodePrefixLen", "the pods of {}"),
    ("vppHostSubnetCIDR", "vppHostSubnetOneNodePrefixLen", "the host link of {}"),
)


@dataclass(slots=True)
class NamingTable:
    """Names by what they are the names of.

    Attributes:
        places: by address, or subnet with prefix length.
        sandboxes: pods by the short IDs of their sandboxes.
        tunnels: nodes by their ID.
    """

    places: dict[str, str] = field(default_factory=dict)
    sandboxes: dict[str, str] = field(default_factory=dict)
    tunnels: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, cluster: Cluster, plan: Mapping[str, Any], sandboxes: Sequence[Mapping[str, Any]]) -> Self:
        """The names of a cluster.

        Args:
            cluster: what etcd holds.
            plan: the addressing options as a node's agent uses them; what it lacks has no names.
            sandboxes: the pods of the node whose interfaces are to be named, as its agent lists them.
        """
        table = cls()
        for node in cluster.nodes:
            table._add_node(node, plan)
        for pod in cluster.pods:
            if not pod.terminated and not on_host_network(pod):
                for address in {pod.ip_address, *pod.ip_addresses} - {""}:
                    table.places[address] = f"pod {pod_name(pod)}"
        for item in sandboxes:
            if short := sandbox.short(str(item.get("container_id") or "")):
                table.sandboxes[short] = f"pod {item.get('pod')}"
        return table

    def place(self, text: str) -> str:
        """The name of an address or a subnet; "" for one without, and for what is none."""
        if text in self.places:
            return self.places[text]
        address, slash, length = text.partition("/")
        if slash and length == ("128" if ":" in address else "32"):
            return self.places.get(address, "")
        return ""

    def interface(self, name: str) -> str:
        """The name of an interface by its logical one; "" for one that says it itself."""
        if name.startswith(_TUNNEL):
            node = self.tunnels.get(name.removeprefix(_TUNNEL), "")
            return f"tunnel to {node}" if node else ""
        return sandbox.owner(name, self.sandboxes) or ""

    def any(self, text: str) -> str:
        """The name of an interface, an address or a subnet."""
        return self.interface(text) or self.place(text)

    def _add_node(self, node: ClusterNode, plan: Mapping[str, Any]) -> None:
        for address in node.management:
            self.places.setdefault(address, f"node {node.name}")
        for address in node.addresses:
            self.places.setdefault(address.partition("/")[0], f"node {node.name}")
        if not node.id:
            return
        self.tunnels[str(node.id)] = node.name
        for subnet_option, prefix_option, form in _PLAN:
            for subnet in _networks(plan, subnet_option):
                prefix = plan.get(f"{prefix_option}IPv6") if subnet.version == 6 else None
                try:
                    part = part_of_node(subnet, int(prefix or plan[prefix_option]), node.id, subnet_option)
                except (AddressPlanError, KeyError, TypeError, ValueError):
                    continue
                self.places.setdefault(str(part), form.format(node.name))
        for subnet in _networks(plan, "vxlanCIDR"):
            if node.id < subnet.num_addresses:
                self.places.setdefault(str(subnet[node.id]), f"node {node.name}")


async def naming_table(cluster: Cluster, agents: Agents, node: ClusterNode) -> NamingTable:
    """The names for a node.

    Raises:
        AgentError: the agent does not answer.
    """
    sandboxes, plan = await asyncio.gather(
        agents.fetch(node.management, "contiv/v1/pods"), agents.get(node.management, "contiv/v1/ipam")
    )
    config = plan.body.get("config") if isinstance(plan.body, dict) else None
    known = [item for item in sandboxes or () if isinstance(item, Mapping)]
    return NamingTable.of(cluster, config if isinstance(config, Mapping) else {}, known)


def _networks(plan: Mapping[str, Any], option: str) -> Iterator[Any]:
    for text in str(plan.get(option) or "").split(","):
        try:
            yield ipaddress.ip_network(text.strip())
        except ValueError:
            continue

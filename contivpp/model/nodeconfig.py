"""What is particular to one node, as a Kubernetes object: the record, and its meaning as configuration.

The record counts as a whole: what it leaves out is not taken from the file's entry for the node.
Source: spec/agent.md 3.2, spec/cluster.md 2.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from contivpp.model.codec import Record
from contivpp.model.config import ContivConfig, InterfaceConfig, NodeConfig
from contivpp.model.options import ConfigError


class NodeInterface(Record, frozen=True):
    """One NIC; `ip` with prefix length."""

    interface_name: str = ""
    ip: str = ""
    use_dhcp: bool = False


class NodeConfigRecord(Record, frozen=True):
    """The record of one node, under its name."""

    node_name: str = ""
    main_vpp_interface: NodeInterface | None = None
    other_vpp_interfaces: tuple[NodeInterface, ...] = ()
    steal_interface: str = ""
    gateway: str = ""
    nat_external_traffic: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a record that does not decode, where its absence would mean something else."""

    problem: str


def apply(config: ContivConfig, record: NodeConfigRecord, *, node_name: str, source: str) -> ContivConfig:
    """The configuration of a node with the record in place of the file's entry for it.

    Args:
        config: the file.
        record: what counts instead of its entry.
        node_name: the node, by whose name the record is found whatever it says inside.
        source: where the record is, for messages.

    Raises:
        ConfigError: with every mistake in the record, or what this build cannot do.
    """
    main = record.main_vpp_interface
    node = NodeConfig(
        node_name=node_name,
        main_vpp_interface=None if main is None else _interface(main),
        other_vpp_interfaces=tuple(map(_interface, record.other_vpp_interfaces)),
        steal_interface=record.steal_interface,
        gateway=record.gateway,
        nat_external_traffic=record.nat_external_traffic,
    )
    try:
        return config.with_own_node(node)
    except ConfigError as error:
        raise ConfigError(source, error.problems) from error


def _interface(nic: NodeInterface) -> InterfaceConfig:
    return InterfaceConfig(interface_name=nic.interface_name, ip=nic.ip, use_dhcp=nic.use_dhcp)

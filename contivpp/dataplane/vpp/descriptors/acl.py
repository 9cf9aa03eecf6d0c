"""Access lists by their names, and the lists of the interfaces.

VPP numbers its lists; the name is kept in the list's tag, so the numbers are read back after every connection. A list
without our tag is not ours and never touched.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import (
    NO_INTERFACE,
    TAG,
    Driver,
    DriverDescriptor,
    Request,
    is_add,
    prefix_of,
)
from contivpp.dataplane.vpp.descriptors.numbered import Numbered
from contivpp.dataplane.vpp.values.acl import Acl, AclList, AclRule, acl_key
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, OperationKind, Outcome

OPTIONAL: Final = True
PLUGIN: Final = "acl_plugin.so"
NEEDS: Final = load("acl")
"""What is used of VPP here."""
_NEW: Final = 0xFFFFFFFF
_ALL: Final = 0xFFFFFFFF
_LONGEST_TAG: Final = 63
_MOST_LISTS: Final = 255
_ACTIONS: Final = {"deny": 0, "permit": 1, "reflect": 2}
_ACTION_NAMES: Final = {number: name for name, number in _ACTIONS.items()}


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    numbers = Numbered(driver, kind="access list", dump=_dump, entry=_entry)
    return (AclDescriptor(driver, numbers), AclListDescriptor(driver, numbers))


class AclDescriptor(DriverDescriptor):
    """Access lists."""

    name = "vpp-acl"
    prefix = Acl.prefix

    def __init__(self, driver: Driver, numbers: Numbered) -> None:
        """Takes the VPP of the node, and the numbers of its lists."""
        super().__init__(driver)
        self._numbers = numbers

    def dependencies(self, key: str, value: Acl) -> Iterable[Dependency]:
        """None.

        Raises:
            ValueError: the name is too long for a tag, or a rule cannot be.
        """
        if len(TAG + value.name) > _LONGEST_TAG:
            raise ValueError(f"the name {value.name} is longer than {_LONGEST_TAG - len(TAG)} characters")
        for number, rule in enumerate(value.rules, 1):
            if _subnet(rule.source)["address"]["af"] != _subnet(rule.destination)["address"]["af"]:
                raise ValueError(f"rule {number} goes from {rule.source} to {rule.destination}: one is IPv4, one IPv6")
        return ()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; an update replaces the rules of the list in place, in every interface at once."""
        try:
            await self._numbers.prepare()
        except VppError as error:
            return [Outcome(error=str(error))] * len(operations)
        return await self._driver.apply(operations, self._requests, gone=("NO_SUCH_ENTRY",), answered=self._answered)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every list with our tag."""
        items = await self._numbers.read()
        values = [Acl(_entry(item)[0], tuple(_rule_value(rule) for rule in item.r)) for item in items]
        return {value.key: Observed(value) for value in values}

    def _requests(self, operation: Operation) -> list[Request]:
        value, numbers = operation.value, self._numbers
        if not is_add(operation):
            return [("acl_del", {"acl_index": numbers.number(value.name)})] if value.name in numbers else []
        fields = {
            "acl_index": numbers.number(value.name) if value.name in numbers else _NEW,
            "tag": TAG + value.name,
            "count": len(value.rules),
            "r": [_rule(rule) for rule in value.rules],
        }
        return [("acl_add_replace", fields)]

    def _answered(self, operation: Operation, reply: Any) -> None:
        if operation.kind is OperationKind.DELETE:
            self._numbers.remove(operation.value.name)
        else:
            self._numbers.add(operation.value.name, reply.acl_index)


class AclListDescriptor(DriverDescriptor):
    """Which lists filter what comes in and goes out of an interface."""

    name = "vpp-acl-list"
    prefix = AclList.prefix

    def __init__(self, driver: Driver, numbers: Numbered) -> None:
        """Takes the VPP of the node, and the numbers of its lists."""
        super().__init__(driver)
        self._numbers = numbers

    def dependencies(self, key: str, value: AclList) -> Iterable[Dependency]:
        """The interface, and every list.

        Raises:
            ValueError: there are more lists than VPP counts.
        """
        if len(value.inbound) + len(value.outbound) > _MOST_LISTS:
            raise ValueError(f"{value.interface} has more than {_MOST_LISTS} access lists")
        yield Dependency("interface", interface_key(value.interface))
        for name in dict.fromkeys((*value.inbound, *value.outbound)):
            yield Dependency("access list", acl_key(name))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; both directions of an interface change at once."""
        try:
            await self._numbers.prepare()
        except VppError as error:
            return [Outcome(error=str(error))] * len(operations)
        return await self._driver.apply(operations, self._requests, gone=("INVALID_SW_IF_INDEX",))

    async def retrieve(self) -> Mapping[str, Observed]:
        """The lists of every interface of ours; one that is not ours counts as "", so that it is put right."""
        await self._driver.read_interfaces()
        await self._numbers.read()
        lists = self._numbers.names()
        found: dict[str, Observed] = {}
        for item in await self._driver.connection.dump("acl_interface_list_dump", sw_if_index=NO_INTERFACE):
            if item.count and (name := self._driver.interfaces.name(item.sw_if_index)):
                names = tuple(lists.get(number, "") for number in item.acls)
                value = AclList(name, names[: item.n_input], names[item.n_input :])
                found[value.key] = Observed(value)
        return found

    def _requests(self, operation: Operation) -> list[Request]:
        value, numbers = operation.value, self._numbers
        names = (*value.inbound, *value.outbound) if is_add(operation) else ()
        fields = {
            "sw_if_index": self._driver.interfaces.number(value.interface),
            "count": len(names),
            "n_input": len(value.inbound) if names else 0,
            "acls": [numbers.number(name) for name in names],
        }
        return [("acl_interface_set_acl_list", fields)]


async def _dump(connection: Connection) -> list[Any]:
    """Every list with our tag."""
    return [item for item in await connection.dump("acl_dump", acl_index=_ALL) if item.tag.startswith(TAG)]


def _entry(item: Any) -> tuple[str, int]:
    return item.tag.removeprefix(TAG), item.acl_index


@functools.lru_cache(maxsize=65536)
def _subnet(text: str) -> dict[str, Any]:
    return prefix_of(ipaddress.ip_network(text))


def _rule(rule: AclRule) -> dict[str, Any]:
    return {
        "is_permit": _ACTIONS[rule.action],
        "src_prefix": _subnet(rule.source),
        "dst_prefix": _subnet(rule.destination),
        "proto": rule.protocol,
        "srcport_or_icmptype_first": rule.source_ports[0],
        "srcport_or_icmptype_last": rule.source_ports[1],
        "dstport_or_icmpcode_first": rule.destination_ports[0],
        "dstport_or_icmpcode_last": rule.destination_ports[1],
        "tcp_flags_mask": rule.tcp_flags[0],
        "tcp_flags_value": rule.tcp_flags[1],
    }


def _rule_value(rule: Any) -> AclRule:
    return AclRule(
        _ACTION_NAMES[int(rule.is_permit)],  # type: ignore[arg-type]
        str(rule.src_prefix),
        str(rule.dst_prefix),
        int(rule.proto),
        (rule.srcport_or_icmptype_first, rule.srcport_or_icmptype_last),
        (rule.dstport_or_icmpcode_first, rule.dstport_or_icmpcode_last),
        (rule.tcp_flags_mask, rule.tcp_flags_value),
    )

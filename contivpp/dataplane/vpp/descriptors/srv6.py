"""Segment routing over IPv6.

VPP answers with numbers of its own in this part, that have other names elsewhere: the names in errors say little. The
segment lists of a policy have no names: the ones that a policy gains are added first, then those that it lost go by
the number that a dump gives them, so that there is a way at every moment.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import (
    NO_INTERFACE,
    Driver,
    DriverDescriptor,
    Request,
    address_of,
    is_add,
    prefix_of,
    replacing,
)
from contivpp.dataplane.vpp.values.addressing import table_key
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.dataplane.vpp.values.srv6 import (
    LocalSegment,
    SegmentList,
    SrPolicy,
    SrSource,
    Steering,
    policy_key,
)
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, OperationKind, Outcome

OPTIONAL: Final = True
NEEDS: Final = load("srv6")
"""What is used of VPP here."""
_BEHAVIOURS: Final = {
    "End": 1,
    "End.X": 2,
    "End.T": 3,
    "End.DX2": 5,
    "End.DX6": 6,
    "End.DX4": 7,
    "End.DT6": 8,
    "End.DT4": 9,
}
_BEHAVIOUR_NAMES: Final = {number: name for name, number in _BEHAVIOURS.items()}
_TO_NEIGHBOUR: Final = {"End.X": 6, "End.DX2": 0, "End.DX4": 4, "End.DX6": 6}
"""With the IP version of the next hop; 0 has none."""
_TO_TABLE: Final[Mapping[str, int]] = {"End.T": 6, "End.DT4": 4, "End.DT6": 6}
_MOST_SEGMENTS: Final = 16
_SPRAY: Final = 1
_ADD_LIST: Final = 1
_DELETE_LIST: Final = 2
_STEER_LINK: Final = 2
_SHOW_SOURCE: Final = "show sr encaps source addr"
_ANYTHING: Final = "::"


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (
        LocalSegmentDescriptor(driver),
        SrPolicyDescriptor(driver),
        SteeringDescriptor(driver),
        SrSourceDescriptor(driver),
    )


class LocalSegmentDescriptor(DriverDescriptor):
    """Segments of this node."""

    name = "vpp-srv6-segment"
    prefix = LocalSegment.prefix

    def dependencies(self, key: str, value: LocalSegment) -> Iterable[Dependency]:
        """The table of the segment, and what its behaviour needs: VPP dies of a table that is not there.

        Raises:
            ValueError: the behaviour needs a next hop, or one of another IP version.
        """
        version = _TO_NEIGHBOUR.get(value.behaviour, 0)
        if version and (not value.next_hop or ipaddress.ip_address(value.next_hop).version != version):
            raise ValueError(f"{value.behaviour} of {value.segment} needs an IPv{version} next hop")
        if value.vrf:
            yield Dependency("table", table_key(value.vrf, 6))
        if value.behaviour in _TO_NEIGHBOUR:
            yield Dependency("interface", interface_key(value.interface))
        if value.behaviour in _TO_TABLE and value.lookup_vrf:
            yield Dependency("next table", table_key(value.lookup_vrf, 4 if _TO_TABLE[value.behaviour] == 4 else 6))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; an update takes the old behaviour away first."""
        requests = functools.partial(replacing, request_of=self._request)
        return await self._driver.apply(operations, requests, gone=("INVALID_SW_IF_INDEX",))

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every segment that hands packets to nobody, or to an interface of ours."""
        await self._driver.read_interfaces()
        found: dict[str, Observed] = {}
        for item in await self._driver.connection.dump("sr_localsids_dump"):
            if (value := self._value(item)) is not None:
                found[value.key] = Observed(value)
        return found

    def _request(self, value: LocalSegment, *, add: bool) -> Request:
        target = 0
        if value.behaviour in _TO_NEIGHBOUR:
            target = self._driver.interfaces.number(value.interface)
        elif value.behaviour in _TO_TABLE:
            target = value.lookup_vrf
        fields = {
            "is_del": not add,
            "localsid": _packed(value.segment),
            "end_psp": value.pop,
            "behavior": _BEHAVIOURS[value.behaviour],
            "sw_if_index": target,
            "fib_table": value.vrf,
            "nh_addr": address_of(ipaddress.ip_address(value.next_hop or _ANYTHING)),
        }
        return "sr_localsid_add_del", fields

    def _value(self, item: Any) -> LocalSegment | None:
        behaviour = _BEHAVIOUR_NAMES.get(int(item.behavior))
        if behaviour is None:
            return None
        target, interface, next_hop = item.xconnect_iface_or_vrf_table, "", ""
        if behaviour in _TO_NEIGHBOUR:
            interface = self._driver.interfaces.name(target)
            if not interface:
                return None
            next_hop = str(item.xconnect_nh_addr) if _TO_NEIGHBOUR[behaviour] else ""
        return LocalSegment(
            str(item.addr),
            behaviour,  # type: ignore[arg-type]
            interface,
            next_hop,
            target if behaviour in _TO_TABLE else 0,
            item.fib_table,
            bool(item.end_psp),
        )


class SrPolicyDescriptor(DriverDescriptor):
    """Policies with their segment lists."""

    name = "vpp-srv6-policy"
    prefix = SrPolicy.prefix

    def dependencies(self, key: str, value: SrPolicy) -> Iterable[Dependency]:
        """The table of the binding segment.

        Raises:
            ValueError: there is no list, or one is longer than a message; or the source is missing, or useless.
        """
        if bool(value.source) is not value.encapsulate:
            raise ValueError(f"the policy {value.binding} needs a source if it encapsulates, and else none")
        if not value.lists:
            raise ValueError(f"the policy {value.binding} has no segment list")
        if any(not 0 < len(one.segments) <= _MOST_SEGMENTS for one in value.lists):
            raise ValueError(f"a segment list of the policy {value.binding} has none or more than {_MOST_SEGMENTS}")
        if value.vrf:
            yield Dependency("table", table_key(value.vrf, 6))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; lists come and go one by one, anything else is a new policy."""
        numbers: dict[str, dict[SegmentList, int]] = {}
        if any(one.kind is OperationKind.UPDATE for one in operations):
            try:
                numbers = await self._list_numbers()
            except VppError as error:
                return [Outcome(error=str(error))] * len(operations)
        requests = functools.partial(_policy_requests, numbers=numbers)
        return await self._driver.apply(operations, requests, gone=("UNSPECIFIED",))

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every policy: nobody else makes any in a node's VPP."""
        values = [
            SrPolicy(
                str(item.bsid),
                tuple(map(_list_value, item.sid_lists)),
                str(item.encap_src) if item.is_encap else "",
                bool(item.is_encap),
                int(item.type) == _SPRAY,
                item.fib_table,
            )
            for item in await self._driver.connection.dump("sr_policies_v2_dump")
        ]
        return {value.key: Observed(value) for value in values}

    async def _list_numbers(self) -> dict[str, dict[SegmentList, int]]:
        """VPP's numbers of the lists of every policy by its binding segment."""
        return {
            str(item.bsid): {_list_value(one): one.sl_index for one in item.sid_lists}
            for item in await self._driver.connection.dump("sr_policies_with_sl_index_dump")
        }


class SteeringDescriptor(DriverDescriptor):
    """What goes into the policies."""

    name = "vpp-srv6-steering"
    prefix = Steering.prefix

    def dependencies(self, key: str, value: Steering) -> Iterable[Dependency]:
        """The policy, and the table or the interface.

        Raises:
            ValueError: neither or both of subnet and interface are given.
        """
        if bool(value.subnet) == bool(value.interface):
            raise ValueError(f"{value.binding} steers either a subnet or an interface")
        yield Dependency("policy", policy_key(value.binding))
        if value.interface:
            yield Dependency("interface", interface_key(value.interface))
        elif value.vrf:
            yield Dependency("table", table_key(value.vrf, ipaddress.ip_network(value.subnet).version))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; another policy for the same traffic replaces the old one."""

        def requests(operation: Operation) -> list[Request]:
            return [self._request(operation.value, add=is_add(operation))]

        return await self._driver.apply(operations, requests, gone=("NO_SUCH_INNER_FIB", "INVALID_SW_IF_INDEX"))

    async def retrieve(self) -> Mapping[str, Observed]:
        """Everything that is steered: nobody else steers in a node's VPP."""
        await self._driver.read_interfaces()
        found: dict[str, Observed] = {}
        for item in await self._driver.connection.dump("sr_steering_pol_dump"):
            if (value := self._value(item)) is not None:
                found[value.key] = Observed(value)
        return found

    def _request(self, value: Steering, *, add: bool) -> Request:
        fields = {"is_del": not add, "bsid_addr": _packed(value.binding), "table_id": value.vrf}
        if value.interface:
            number = self._driver.interfaces.number(value.interface)
            return "sr_steering_add_del", {**fields, "sw_if_index": number, "traffic_type": _STEER_LINK}
        subnet = ipaddress.ip_network(value.subnet)
        fields |= {"sw_if_index": NO_INTERFACE, "prefix": prefix_of(subnet), "traffic_type": subnet.version}
        return "sr_steering_add_del", fields

    def _value(self, item: Any) -> Steering | None:
        if int(item.traffic_type) == _STEER_LINK:
            name = self._driver.interfaces.name(item.sw_if_index)
            return Steering(str(item.bsid), interface=name) if name else None
        # VPP says of an IPv6 subnet that starts with zeros that it is IPv4.
        start = item.prefix.network_address
        if int(item.traffic_type) == 6 and start.version == 4:
            start = ipaddress.IPv6Address(int(start))
        return Steering(str(item.bsid), f"{start}/{item.prefix.prefixlen}", item.fib_table)


class SrSourceDescriptor(DriverDescriptor):
    """The source of outer headers. VPP tells it to people only."""

    name = "vpp-srv6-source"
    prefix = SrSource.prefix

    def dependencies(self, key: str, value: SrSource) -> Iterable[Dependency]:
        """None."""
        return ()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One request."""

        def requests(operation: Operation) -> list[Request]:
            address = operation.value.address if is_add(operation) else _ANYTHING
            return [("sr_set_encap_source", {"encaps_source": _packed(address)})]

        return await self._driver.apply(operations, requests)

    async def retrieve(self) -> Mapping[str, Observed]:
        """The address, if there is one."""
        said = await self._driver.connection.call("cli_inband", cmd=_SHOW_SOURCE)
        address = said.reply.rpartition("=")[2].strip()
        if not address or address == _ANYTHING:
            return {}
        value = SrSource(str(ipaddress.ip_address(address)))
        return {value.key: Observed(value)}


def _is_another(operation: Operation) -> bool:
    """Whether an update changes what VPP only takes when a policy is made."""
    old, new = operation.previous, operation.value
    return (old.source, old.encapsulate, old.spray, old.vrf) != (new.source, new.encapsulate, new.spray, new.vrf)


def _policy_requests(operation: Operation, *, numbers: Mapping[str, Mapping[SegmentList, int]]) -> list[Request] | None:
    value: SrPolicy = operation.value
    binding, source = _packed(value.binding), _packed(value.source or _ANYTHING)
    if operation.kind is OperationKind.DELETE:
        return [("sr_policy_del", {"bsid_addr": binding})]
    if operation.kind is OperationKind.CREATE:
        first = {
            "bsid_addr": binding,
            "is_encap": value.encapsulate,
            "type": _SPRAY if value.spray else 0,
            "fib_table": value.vrf,
            "sids": _sids(value.lists[0]),
            "encap_src": source,
        }
        return [("sr_policy_add_v2", first), *(_add_list(binding, source, one) for one in value.lists[1:])]
    if _is_another(operation):
        return None
    there = numbers.get(value.binding, {})
    gone = [number for one, number in there.items() if one not in value.lists]
    return [
        *(_add_list(binding, source, one) for one in value.lists if one not in there),
        *(
            ("sr_policy_mod_v2", {"bsid_addr": binding, "operation": _DELETE_LIST, "sl_index": number})
            for number in gone
        ),
    ]


def _add_list(binding: bytes, source: bytes, value: SegmentList) -> Request:
    fields = {"bsid_addr": binding, "operation": _ADD_LIST, "sids": _sids(value), "encap_src": source}
    return "sr_policy_mod_v2", fields


def _sids(value: SegmentList) -> dict[str, Any]:
    packed = [_packed(one) for one in value.segments]
    padding = [_packed(_ANYTHING)] * (_MOST_SEGMENTS - len(packed))
    return {"num_sids": len(packed), "weight": value.weight, "sids": packed + padding}


def _list_value(item: Any) -> SegmentList:
    return SegmentList(tuple(str(one) for one in item.sids[: item.num_sids]), item.weight)


def _packed(address: str) -> bytes:
    return ipaddress.IPv6Address(address).packed

"""Sources of connections, changed by VPP's cnat on the interfaces that translate.

VPP has one policy for all tables, of the kind that is made for Kubernetes. It tells its addresses to programs, and its
interfaces and subnets only to people: these are read from the text of `show cnat snat-policy`. When that text is not
understood, nothing is found, and everything is put there again, which does no harm.

Two things in VPP are worked around. When no interface is inside for IPv4 any more, VPP takes the policy for one that
was never made: it forgets the subnets, and takes nothing away. So an idle interface is inside for good; to be told from
the others it is the host's as well. And a policy that was deleted goes on being used by other tables than the first: so
it is never deleted but parked, with the address of the loopback and as the kind that changes only what comes from
inside.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import (
    NO_INTERFACE,
    Driver,
    DriverDescriptor,
    Request,
    is_add,
    prefix_of,
)
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.dataplane.vpp.values.source_nat import POLICY, Role, SourceNat, SourceNatInterface, SparedSubnet
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, OperationKind, Outcome

NEEDS: Final = load("source_nat")
"""What is used of VPP here."""
_INSIDE_ONLY: Final = 1  # CNAT_POLICY_IF_PFX
_KUBERNETES: Final = 2  # CNAT_POLICY_K8S
_FLAGS: Final = 2 | 4  # no route for the address, and the policy is that of all tables
_PARKED4: Final = "127.0.0.1"
_PARKED6: Final = "::1"
_ROLES: Final[Mapping[Role, int]] = {"inside4": 0, "inside6": 1, "pod": 2, "host": 3}
_SHOW: Final = "show cnat snat-policy"
_IDLE: Final[frozenset[Role]] = frozenset({"inside4", "host"})
_HEADINGS: Final[Mapping[str, Role]] = {
    "Included v4 interfaces:": "inside4",
    "Included v6 interfaces:": "inside6",
    "k8s pod interfaces:": "pod",
    "k8s host interfaces:": "host",
}
_SPARED: Final = re.compile(r"(\S+/\d+) dst\b")


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (SourceNatDescriptor(driver), SparedSubnetDescriptor(driver), SourceNatInterfaceDescriptor(driver))


class SourceNatDescriptor(DriverDescriptor):
    """The addresses of the policy."""

    name = "vpp-source-nat"
    prefix = SourceNat.prefix

    def dependencies(self, key: str, value: SourceNat) -> Iterable[Dependency]:
        """The idle interface.

        Raises:
            ValueError: there is no address.
        """
        if not value.ipv4 and not value.ipv6:
            raise ValueError("the new source of connections is missing")
        yield Dependency("idle interface", interface_key(value.idle))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline: the addresses, what keeps the policy, and its kind."""
        return await self._driver.apply(operations, self._requests, gone=("INVALID_SW_IF_INDEX",))

    async def retrieve(self) -> Mapping[str, Observed]:
        """The addresses, unless they are parked."""
        found: dict[str, Observed] = {}
        roles = await _roles(self._driver)
        idle = next((name for name, its in roles.items() if its >= _IDLE), "")
        for item in await self._driver.connection.dump("cnat_snat_addresses_dump"):
            ipv4, ipv6 = _address(item.snat_ip4, _PARKED4), _address(item.snat_ip6, _PARKED6)
            if ipv4 or ipv6:
                value = SourceNat(idle, ipv4, ipv6)
                found[value.key] = Observed(value)
        return found

    def _requests(self, operation: Operation) -> list[Request]:
        value: SourceNat = operation.value
        adding = is_add(operation)
        fields = {
            "fwd_fib_index": 0,
            "ret_fib_index": 0,
            "snat_ip4": ipaddress.IPv4Address((adding and value.ipv4) or _PARKED4).packed,
            "snat_ip6": ipaddress.IPv6Address((adding and value.ipv6) or _PARKED6).packed,
            "sw_if_index": NO_INTERFACE,
            "flags": _FLAGS,
        }
        requests: list[Request] = [("cnat_set_snat_addresses_v2", fields)]
        previous = operation.previous.idle if operation.kind is OperationKind.UPDATE else value.idle
        for name, keeps in {previous: False, value.idle: adding}.items():
            number = self._driver.interfaces.number(name)
            requests += [
                (
                    "cnat_snat_policy_add_del_if",
                    {"is_add": keeps, "table": _ROLES[role], "sw_if_index": number},
                )
                for role in sorted(_IDLE)
            ]
        requests.append(("cnat_set_snat_policy", {"policy": _KUBERNETES if adding else _INSIDE_ONLY}))
        return requests


class SparedSubnetDescriptor(DriverDescriptor):
    """Destinations to which sources stay as they are."""

    name = "vpp-source-nat-spare"
    prefix = SparedSubnet.prefix

    def dependencies(self, key: str, value: SparedSubnet) -> Iterable[Dependency]:
        """The policy; it is the policy's own list."""
        ipaddress.ip_network(value.subnet)
        yield Dependency("policy", POLICY)

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; there is nothing to change in such a value."""

        def requests(operation: Operation) -> list[Request]:
            if operation.kind is OperationKind.UPDATE:
                return []
            prefix = prefix_of(ipaddress.ip_network(operation.value.subnet))
            return [("cnat_snat_policy_add_del_exclude_pfx", {"is_add": is_add(operation), "prefix": prefix})]

        return await self._driver.apply(operations, requests, gone=("FEATURE_DISABLED",))

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every subnet of the policy."""
        values = [SparedSubnet(subnet) for subnet in _SPARED.findall(await _text(self._driver))]
        return {value.key: Observed(value) for value in values}


class SourceNatInterfaceDescriptor(DriverDescriptor):
    """What the interfaces are for the policy."""

    name = "vpp-source-nat-interface"
    prefix = SourceNatInterface.prefix

    def dependencies(self, key: str, value: SourceNatInterface) -> Iterable[Dependency]:
        """The policy and the interface."""
        yield Dependency("policy", POLICY)
        yield Dependency("interface", interface_key(value.interface))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; what was said already may be said again."""

        def requests(operation: Operation) -> list[Request]:
            fields = {
                "is_add": is_add(operation),
                "table": _ROLES[operation.value.role],
                "sw_if_index": self._driver.interfaces.number(operation.value.interface),
            }
            return [("cnat_snat_policy_add_del_if", fields)]

        return await self._driver.apply(operations, requests, gone=("FEATURE_DISABLED", "INVALID_SW_IF_INDEX"))

    async def retrieve(self) -> Mapping[str, Observed]:
        """The roles of the interfaces of ours, without the idle one."""
        values = [
            SourceNatInterface(name, role)
            for name, roles in (await _roles(self._driver)).items()
            for role in roles
            if not roles >= _IDLE
        ]
        return {value.key: Observed(value) for value in values}


async def _roles(driver: Driver) -> dict[str, set[Role]]:
    """The roles of every interface of ours that has any."""
    text = await _text(driver)
    items = await driver.read_interfaces()
    names = {item.interface_name: driver.interfaces.name(item.sw_if_index) for item in items}
    found: dict[str, set[Role]] = {}
    role: Role | None = None
    for line in text.splitlines():
        role = _HEADINGS.get(line.strip(), role)
        if role is not None and line.strip() in names:
            found.setdefault(names[line.strip()], set()).add(role)
    return found


async def _text(driver: Driver) -> str:
    """What VPP says of its policy to people; "" when it has none."""
    if not await driver.connection.dump("cnat_snat_addresses_dump"):
        return ""
    return str((await driver.connection.call("cli_inband", cmd=_SHOW)).reply)


def _address(found: Any, parked: str) -> str:
    text = str(found)
    return "" if text == parked or ipaddress.ip_address(text).is_unspecified else text

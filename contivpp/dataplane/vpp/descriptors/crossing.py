"""Cross-connects of frames, and the tags of frames that bridge domains and cross-connects pass on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import Driver, DriverDescriptor, Request, is_add
from contivpp.dataplane.vpp.values.bridging import BridgeMember
from contivpp.dataplane.vpp.values.crossing import L2CrossConnect
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.dataplane.vpp.values.subinterfaces import Rewriting, TagRewrite
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, Outcome

NEEDS: Final = load("crossing")
"""What is used of VPP here."""
_DISABLED: Final = 0
_OPERATIONS: Final[tuple[Rewriting, ...]] = (
    "push-1",
    "push-2",
    "pop-1",
    "pop-2",
    "translate-1-1",
    "translate-1-2",
    "translate-2-1",
    "translate-2-2",
)
"""By VPP's numbers, from 1."""


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return L2CrossConnectDescriptor(driver), TagRewriteDescriptor(driver)


class L2CrossConnectDescriptor(DriverDescriptor):
    """Where all frames of an interface leave."""

    name = "vpp-l2-cross-connect"
    prefix = L2CrossConnect.prefix

    def dependencies(self, key: str, value: L2CrossConnect) -> Iterable[Dependency]:
        """Both interfaces."""
        yield Dependency("interface", interface_key(value.interface))
        yield Dependency("other interface", interface_key(value.to))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; a new way out replaces the old one."""

        def requests(operation: Operation) -> list[Request]:
            value, interfaces = operation.value, self._driver.interfaces
            fields = {"rx_sw_if_index": interfaces.number(value.interface), "enable": is_add(operation)}
            if is_add(operation):
                fields["tx_sw_if_index"] = interfaces.number(value.to)
            return [("sw_interface_set_l2_xconnect", fields)]

        return await self._driver.apply(operations, requests, gone=("INVALID_SW_IF_INDEX",))

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every cross-connect between interfaces of ours."""
        interfaces = self._driver.interfaces
        await self._driver.read_interfaces()
        found: dict[str, Observed] = {}
        for item in await self._driver.connection.dump("l2_xconnect_dump"):
            name, to = interfaces.name(item.rx_sw_if_index), interfaces.name(item.tx_sw_if_index)
            if name and to:
                value = L2CrossConnect(name, to)
                found[value.key] = Observed(value)
        return found


class TagRewriteDescriptor(DriverDescriptor):
    """What happens to the tags of frames."""

    name = "vpp-tag-rewrite"
    prefix = TagRewrite.prefix

    def dependencies(self, key: str, value: TagRewrite) -> Iterable[Dependency]:
        """The interface, as one that passes frames on: VPP forgets the tags when it routes instead."""
        yield Dependency("interface", interface_key(value.interface))
        member, crossed = f"{BridgeMember.prefix}{value.interface}", f"{L2CrossConnect.prefix}{value.interface}"
        yield Dependency("bridge member or cross-connect", any_of=(member, crossed))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; an operation replaces another one."""

        def requests(operation: Operation) -> list[Request]:
            value = operation.value
            fields = {"sw_if_index": self._driver.interfaces.number(value.interface), "vtr_op": _DISABLED}
            if is_add(operation):
                fields |= {
                    "vtr_op": _OPERATIONS.index(value.operation) + 1,
                    "push_dot1q": not value.service,
                    "tag1": value.tag,
                    "tag2": value.inner_tag,
                }
            return [("l2_interface_vlan_tag_rewrite", fields)]

        return await self._driver.apply(operations, requests, gone=("INVALID_SW_IF_INDEX",))

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every interface of ours that changes tags."""
        found: dict[str, Observed] = {}
        for item in await self._driver.read_interfaces():
            if 0 < item.vtr_op <= len(_OPERATIONS):
                operation, name = _OPERATIONS[item.vtr_op - 1], self._driver.interfaces.name(item.sw_if_index)
                pushes = not operation.startswith("pop")
                value = TagRewrite(
                    name, operation, item.vtr_tag1, item.vtr_tag2, service=pushes and not item.vtr_push_dot1q
                )
                found[value.key] = Observed(value)
        return found

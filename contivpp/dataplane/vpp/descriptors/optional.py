"""What a VPP need not have: a family whose plugin is not loaded finds nothing there, and says what it takes.

The agent works with a VPP that lacks what nobody asks for. When somebody does ask, the error names the plugin, and the
value is tried again: with another VPP it may work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.contract.model import Contract
from contivpp.dataplane.vpp.descriptors.driver import Driver
from contivpp.scheduler.api import DONE, Dependency, Descriptor, Observed, Operation, OperationKind, Outcome


def remedy(missing: Sequence[str], plugin: str) -> str:
    """The sentence about messages that are missing, and the plugin that has them; "" is VPP itself."""
    if plugin:
        return f"this VPP has no {plugin.removesuffix('_plugin.so')} ({missing[0]}): load {plugin}"
    return f"this VPP has no {missing[0]}: install a version that has"


class OptionalDescriptor:
    """A descriptor that is asked only while VPP has its messages."""

    def __init__(self, descriptor: Descriptor, driver: Driver, *, needs: Contract, plugin: str) -> None:
        """Takes the descriptor, what it needs, and the file name of the plugin that has that; "" is VPP itself."""
        self._descriptor = descriptor
        self._driver = driver
        self._needs = needs
        self._plugin = plugin
        self.name = descriptor.name
        self.prefix = descriptor.prefix

    def dependencies(self, key: str, value: Any) -> Iterable[Dependency]:
        """Those of the descriptor."""
        return self._descriptor.dependencies(key, value)

    def derived(self, key: str, value: Any) -> Mapping[str, Any]:
        """Those of the descriptor."""
        return self._descriptor.derived(key, value)

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """What the descriptor does; without its messages nothing can be made, and nothing is left to delete."""
        try:
            missing = self._driver.lacks(self._needs)
        except VppError as error:
            return [Outcome(error=str(error))] * len(operations)
        if not missing:
            return await self._descriptor.apply(operations)
        lost = Outcome(error=remedy(missing, self._plugin))
        return [DONE if operation.kind is OperationKind.DELETE else lost for operation in operations]

    async def retrieve(self) -> Mapping[str, Observed]:
        """What the descriptor finds; nothing without its messages."""
        return {} if self._driver.lacks(self._needs) else await self._descriptor.retrieve()

"""How VPP takes packets from interfaces.

Every queue has a mode and a thread, whether somebody asked or not, and drivers choose modes of their own. So what was
asked for is noted in the interface's tag: of modes with how they were before, and so they are again without the
value. VPP gives out threads in turn; a placement that is taken back leaves the queue where it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import NO_INTERFACE, Driver, DriverDescriptor, Request
from contivpp.dataplane.vpp.descriptors.kinds.kind import tag_request
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.dataplane.vpp.values.receiving import RxMode, RxPlacement
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, OperationKind, Outcome

OPTIONAL: Final = True
NEEDS: Final = load("receiving")
"""What is used of VPP here."""
_MODES: Final[tuple[Literal["polling", "interrupt", "adaptive"], ...]] = ("polling", "interrupt", "adaptive")
"""By VPP's numbers, from 1."""
_LETTERS: Final = {mode[0]: mode for mode in _MODES}
_MODE_NOTE: Final = "m"
_PLACEMENT_NOTE: Final = "p"
_ALL: Final = "*"
_NOTED: Final = re.compile(r"(\*|\d+)([pia])")
_MAIN: Final = 0  # the number of the main thread; workers follow
Queues = Mapping[str, Mapping[int, Any]]
"""What VPP says of receive queues, by interface and number."""


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return RxModeDescriptor(driver), RxPlacementDescriptor(driver)


class RxModeDescriptor(DriverDescriptor):
    """Modes of whole interfaces, and of single queues."""

    name = "vpp-rx-mode"
    prefix = RxMode.prefix

    def dependencies(self, key: str, value: RxMode) -> Iterable[Dependency]:
        """The interface."""
        yield Dependency("interface", interface_key(value.interface))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline, after a look at how the queues are now."""
        try:
            queues = await _queues(self._driver)
        except VppError as error:
            return [Outcome(error=str(error))] * len(operations)

        def requests(operation: Operation) -> list[Request]:
            value, number = operation.value, self._driver.interfaces.number(operation.value.interface)
            noted, which = self._noted(value.interface), _ALL if value.queue is None else str(value.queue)
            before = noted.get(which, "")
            match operation.kind:
                case OperationKind.CREATE:
                    noted[which] = before or _mode_of(value, queues)[0]
                case OperationKind.DELETE:
                    noted.pop(which, None)
            mode = _LETTERS.get(before, _MODES[0]) if operation.kind is OperationKind.DELETE else value.mode
            fields = {
                "sw_if_index": number,
                "queue_id_valid": value.queue is not None,
                "queue_id": value.queue or 0,
                "mode": _MODES.index(mode) + 1,
            }
            note = "".join(queue + letter for queue, letter in sorted(noted.items()))
            return [
                ("sw_interface_set_rx_mode", fields),
                *_noting(self._driver, value.interface, _MODE_NOTE, note),
            ]

        return await self._driver.apply(operations, requests, gone=("INVALID_SW_IF_INDEX",))

    async def retrieve(self) -> Mapping[str, Observed]:
        """What was asked for, as it is; queues that were asked for one by one do not count for all."""
        found: dict[str, Observed] = {}
        for name, queues in (await _queues(self._driver)).items():
            noted = self._noted(name)
            for which in noted:
                numbers = [int(which)] if which != _ALL else [one for one in queues if str(one) not in noted]
                modes = {_mode(queues[number]) for number in numbers if number in queues}
                if len(modes) == 1:  # several modes are none that anybody asked for
                    value = RxMode(name, modes.pop(), None if which == _ALL else int(which))
                    found[value.key] = Observed(value)
        return found

    def _noted(self, name: str) -> dict[str, str]:
        """The first letters of the modes before, by queue."""
        return dict(_NOTED.findall(self._driver.interfaces.tag(name).notes.get(_MODE_NOTE, "")))


class RxPlacementDescriptor(DriverDescriptor):
    """Which thread serves which queue."""

    name = "vpp-rx-placement"
    prefix = RxPlacement.prefix

    def dependencies(self, key: str, value: RxPlacement) -> Iterable[Dependency]:
        """The interface."""
        yield Dependency("interface", interface_key(value.interface))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline."""

        def requests(operation: Operation) -> list[Request]:
            value, number = operation.value, self._driver.interfaces.number(operation.value.interface)
            noted, own = self._noted(value.interface), 1 << value.queue
            if operation.kind is OperationKind.DELETE:
                return list(_noting(self._driver, value.interface, _PLACEMENT_NOTE, _hex(noted & ~own)))
            fields = {
                "sw_if_index": number,
                "queue_id": value.queue,
                "worker_id": value.worker or 0,
                "is_main": value.worker is None,
            }
            return [
                ("sw_interface_set_rx_placement", fields),
                *_noting(self._driver, value.interface, _PLACEMENT_NOTE, _hex(noted | own)),
            ]

        return await self._driver.apply(operations, requests, gone=("INVALID_SW_IF_INDEX",))

    async def retrieve(self) -> Mapping[str, Observed]:
        """What was asked for, as it is."""
        found: dict[str, Observed] = {}
        for name, queues in (await _queues(self._driver)).items():
            noted = self._noted(name)
            for number, item in queues.items():
                if noted & 1 << number:
                    value = RxPlacement(name, number, None if item.worker_id == _MAIN else item.worker_id - 1)
                    found[value.key] = Observed(value)
        return found

    def _noted(self, name: str) -> int:
        """The queues that were asked for, a bit each."""
        return int(self._driver.interfaces.tag(name).notes.get(_PLACEMENT_NOTE, "") or "0", 16)


def _noting(driver: Driver, name: str, letter: str, note: str) -> Iterable[Request]:
    """The request that writes a note on an interface; none when it is there."""
    tag = driver.interfaces.tag(name)
    changed = tag.with_note(letter, note)
    if changed.text != tag.text:
        driver.interfaces.add(changed, driver.interfaces.number(name))
        yield tag_request(driver.interfaces.number(name), changed.text)


def _mode_of(value: RxMode, queues: Queues) -> str:
    """The mode that a queue has, or the first one of all."""
    items = queues.get(value.interface, {})
    number = min(items, default=0) if value.queue is None else value.queue
    if number not in items:
        message = f"{value.interface} has no receive queue {number}: it has {len(items)}"
        raise VppError(message)
    return _mode(items[number])


def _mode(item: Any) -> Literal["polling", "interrupt", "adaptive"]:
    return _MODES[item.mode - 1] if 0 < item.mode <= len(_MODES) else _MODES[0]


def _hex(bits: int) -> str:
    return f"{bits:x}" if bits else ""


async def _queues(driver: Driver) -> Queues:
    """The receive queues of our interfaces."""
    await driver.read_interfaces()
    queues: dict[str, dict[int, Any]] = {}
    for item in await driver.connection.dump("sw_interface_rx_placement_dump", sw_if_index=NO_INTERFACE):
        if name := driver.interfaces.name(item.sw_if_index):
            queues.setdefault(name, {})[item.queue_id] = item
    return queues

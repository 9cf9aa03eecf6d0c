"""Packets for VPP's own addresses that nothing in VPP takes, sent on.

VPP itself answers datagrams for UDP ports that nobody has, and TCP for such ports when its own TCP is at work. It is
told to leave both to the redirects as long as there are any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import (
    NO_INTERFACE,
    Driver,
    DriverDescriptor,
    Request,
    hop_of,
    is_add,
    path_of,
    replacing,
)
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.dataplane.vpp.values.punting import PuntRedirect
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, OperationKind, Outcome

OPTIONAL: Final = True
NEEDS: Final = load("punting")
"""What is used of VPP here."""
_L4: Final = 0  # PUNT_API_TYPE_L4
_PROTOCOLS: Final = (6, 17)  # TCP, UDP
_EVERY_PORT: Final = 0xFFFF


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (PuntRedirectDescriptor(driver),)


class PuntRedirectDescriptor(DriverDescriptor):
    """One per IP version and interface that packets come in by, and one for all others."""

    name = "vpp-punt-redirect"
    prefix = PuntRedirect.prefix

    def __init__(self, driver: Driver) -> None:
        """Takes the VPP of the node."""
        super().__init__(driver)
        self._keys: set[str] = set()  # of the redirects that there are

    def dependencies(self, key: str, value: PuntRedirect) -> Iterable[Dependency]:
        """Both interfaces."""
        yield Dependency("interface", interface_key(value.to))
        if value.interface:
            yield Dependency("receiving interface", interface_key(value.interface))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; an update takes the old one away first: VPP would keep it, out of reach."""

        def requests(operation: Operation) -> list[Request]:
            found = replacing(operation, self._request)
            number, others = operation.value.version, self._keys - {operation.key}
            if operation.kind is OperationKind.CREATE:
                found += _unknown_ports(number, punt=True)
            elif operation.kind is OperationKind.DELETE and not any(key.startswith(_of(number)) for key in others):
                found += _unknown_ports(number, punt=False)
            self._keys = others | ({operation.key} if is_add(operation) else set())
            return found

        return await self._driver.apply(operations, requests)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every one to an interface of ours."""
        await self._driver.read_interfaces()
        dumps: list[Request] = [("ip_punt_redirect_v2_dump", {"sw_if_index": NO_INTERFACE, "af": af}) for af in (0, 1)]
        found: dict[str, Observed] = {}
        for items in await self._driver.dumps(dumps):
            for item in items:
                if (value := self._value(item.punt)) is not None:
                    found[value.key] = Observed(value)
        self._keys = set(found)
        return found

    def _request(self, value: PuntRedirect, *, add: bool) -> Request:
        interfaces = self._driver.interfaces
        punt: dict[str, Any] = {
            "rx_sw_if_index": interfaces.number(value.interface) if value.interface else NO_INTERFACE,
            "af": 0 if value.version == 4 else 1,
        }
        if add:
            punt |= {"n_paths": 1, "paths": [path_of(interfaces.number(value.to), value.via, value.version)]}
        return "add_del_ip_punt_redirect_v2", {"is_add": add, "punt": punt}

    def _value(self, item: Any) -> PuntRedirect | None:
        interfaces = self._driver.interfaces
        name = "" if item.rx_sw_if_index == NO_INTERFACE else interfaces.name(item.rx_sw_if_index)
        path = item.paths[0] if item.paths else None
        if path is None or not (to := interfaces.name(path.sw_if_index)):
            return None
        if item.rx_sw_if_index != NO_INTERFACE and not name:
            return None  # not an interface of ours
        return PuntRedirect(6 if item.af else 4, to, hop_of(path), name)


def _of(version: int) -> str:
    """What the keys of one IP version start with."""
    return f"{PuntRedirect.prefix}ip{version}/"


def _unknown_ports(version: int, *, punt: bool) -> list[Request]:
    af = 0 if version == 4 else 1
    rules = [{"af": af, "protocol": protocol, "port": _EVERY_PORT} for protocol in _PROTOCOLS]
    return [("set_punt", {"is_add": punt, "punt": {"type": _L4, "punt": {"l4": rule}}}) for rule in rules]

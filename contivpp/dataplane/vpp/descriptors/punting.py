"""Packets for VPP's own addresses that nothing in VPP takes, sent on."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from contivpp.dataplane.vpp.descriptors.driver import (
    NO_INTERFACE,
    Driver,
    DriverDescriptor,
    Request,
    hop_of,
    path_of,
    replacing,
)
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.dataplane.vpp.values.punting import PuntRedirect
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, Outcome

OPTIONAL: Final = True
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "add_del_ip_punt_redirect_v2": ("is_add", "punt"),
    "ip_punt_redirect_v2_dump": ("sw_if_index", "af"),
    "ip_punt_redirect_v2_details": ("punt",),
}
"""The messages, and of each the fields, that are used here."""


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (PuntRedirectDescriptor(driver),)


class PuntRedirectDescriptor(DriverDescriptor):
    """One per IP version and interface that packets come in by, and one for all others."""

    name = "vpp-punt-redirect"
    prefix = PuntRedirect.prefix

    def dependencies(self, key: str, value: PuntRedirect) -> Iterable[Dependency]:
        """Both interfaces."""
        yield Dependency("interface", interface_key(value.to))
        if value.interface:
            yield Dependency("receiving interface", interface_key(value.interface))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; an update takes the old one away first: VPP would keep it, out of reach."""
        requests = functools.partial(replacing, request_of=self._request)
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

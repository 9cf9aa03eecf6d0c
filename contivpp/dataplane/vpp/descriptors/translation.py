"""Translations of destinations (services) by VPP's cnat, on the interfaces that are told to translate.

Translations are used as a feature of interfaces, before the look-up and after it, so they hold in every table, and no
route is made for a service's address. VPP numbers them; protocol, address and port say in its dump which is which. That
dump leaves out by what a client is bound to a backend (the flow hash), so it is written where the dump shows it: as
source port of the backends, which nothing uses on interfaces. Another way to balance is another translation: VPP keeps
the first one. A translation without backends must never be sent: VPP dies of it.
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
    Driver,
    DriverDescriptor,
    Request,
    address_of,
    is_add,
)
from contivpp.dataplane.vpp.descriptors.numbered import Numbered
from contivpp.dataplane.vpp.descriptors.tables import NO_NUMBER
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.dataplane.vpp.values.translation import Backend, TranslatedInterface, Translation, translation_key
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, OperationKind, Outcome

NEEDS: Final = load("translation")
"""What is used of VPP here."""
_PROTOCOLS: Final = {"tcp": 6, "udp": 17, "sctp": 132}
_PROTOCOL_NAMES: Final = {number: name for name, number in _PROTOCOLS.items()}
_BALANCING: Final = {"hash": 0, "maglev": 1}
_BALANCING_NAMES: Final = {number: name for name, number in _BALANCING.items()}
_NO_CLIENT: Final = 8  # CNAT_TRANSLATION_NO_CLIENT: no route for the address
_NO_REWRITE: Final = 2  # CNAT_EPT_NO_NAT
_HASH_SOURCE: Final = 1  # IP_API_V2_FLOW_HASH_SRC_IP
_PASSING: Final = tuple(
    (f"ip{version}-{arc}", f"cnat-{feature}-ip{version}")
    for version in (4, 6)
    for arc, feature in (("unicast", "lookup"), ("output", "writeback"))
)
"""The arcs, each with the feature that connections are remembered by; to translate takes two more."""
_TRANSLATING: Final = ("ip4-unicast", "cnat-input-ip4")
_LOCAL: Final = 0  # local0
_PORTS: Final = range(1, 65536)


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (TranslationDescriptor(driver), TranslatedInterfaceDescriptor(driver))


class TranslationDescriptor(DriverDescriptor):
    """Translations."""

    name = "vpp-translation"
    prefix = Translation.prefix

    def __init__(self, driver: Driver) -> None:
        """Takes the VPP of the node."""
        super().__init__(driver)
        self._numbers = Numbered(driver, kind="translation", dump=_dump, entry=_entry)

    def dependencies(self, key: str, value: Translation) -> Iterable[Dependency]:
        """None.

        Raises:
            ValueError: there is no backend, one is there twice, or is of another IP version than the service; or a
                port is none.
        """
        if not value.backends:
            raise ValueError(f"a translation of {value.address} to nowhere: VPP has none")
        if len({(one.address, one.port) for one in value.backends}) < len(value.backends):
            raise ValueError(f"a backend of {value.address} is there twice")
        if value.port not in _PORTS:
            raise ValueError(f"{value.address} has no port {value.port}")
        version = ipaddress.ip_address(value.address).version
        for one in value.backends:
            if ipaddress.ip_address(one.address).version != version:
                raise ValueError(f"{value.address} and its backend {one.address} are of different IP versions")
            if one.port not in _PORTS:
                raise ValueError(f"the backend {one.address} has no port {one.port}")
        return ()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; backends change in place, the way to balance by a new translation."""
        try:
            await self._numbers.prepare()
        except VppError as error:
            return [Outcome(error=str(error))] * len(operations)
        return await self._driver.apply(operations, self._requests, gone=("NO_SUCH_ENTRY",), answered=self._answered)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every translation to other addresses: nobody else makes any in a node's VPP."""
        values = [_value(item.translation) for item in await self._numbers.read()]
        return {value.key: Observed(value) for value in values}

    def _requests(self, operation: Operation) -> list[Request] | None:
        value, numbers = operation.value, self._numbers
        if _is_another(operation):
            return None
        if is_add(operation):
            return [("cnat_translation_update", {"translation": _message(value)})]
        return [("cnat_translation_del", {"id": numbers.number(value.key)})] if value.key in numbers else []

    def _answered(self, operation: Operation, reply: Any) -> None:
        if is_add(operation):
            self._numbers.add(operation.key, reply.id)
        else:
            self._numbers.remove(operation.key)


class TranslatedInterfaceDescriptor(DriverDescriptor):
    """Interfaces that translate.

    cnat counts connections by table, and learns of a table when an interface enters it: of none that did before cnat
    was first used. Connections from there are not translated then. So before the first interface is told to translate,
    `local0` pays a visit to every table.
    """

    name = "vpp-translated-interface"
    prefix = TranslatedInterface.prefix

    def __init__(self, driver: Driver) -> None:
        """Takes the VPP of the node."""
        super().__init__(driver)
        self._awake_at: Connection | None = None

    def dependencies(self, key: str, value: TranslatedInterface) -> Iterable[Dependency]:
        """The interface."""
        yield Dependency("interface", interface_key(value.interface))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; another way is the old one off and the new one on."""
        try:
            await self._wake()
        except VppError as error:
            return [Outcome(error=str(error))] * len(operations)

        return await self._driver.apply(operations, self._requests, gone=("INVALID_SW_IF_INDEX",))

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every interface of ours that translates."""
        await self._driver.read_interfaces()
        interfaces = self._driver.interfaces
        questions = [
            (name, {"arc_name": arc, "feature_name": feature, "sw_if_index": interfaces.number(name)})
            for name in interfaces.routed_names()
            for arc, feature in (_PASSING[0], _TRANSLATING)
        ]
        replies = await self._driver.connection.batch([("feature_is_enabled", fields) for _, fields in questions])
        enabled = [bool(getattr(reply, "is_enabled", False)) for reply in replies]
        values = [
            TranslatedInterface(name, passing=not translates)
            for (name, _), known, translates in zip(questions[::2], enabled[::2], enabled[1::2], strict=True)
            if known
        ]
        return {value.key: Observed(value) for value in values}

    def _requests(self, operation: Operation) -> list[Request]:
        number = self._driver.interfaces.number(operation.value.interface)
        requests: list[Request] = []
        if operation.kind is not OperationKind.CREATE:  # what is on already VPP would count twice
            requests += _switching(number, operation.previous, on=False)
        if is_add(operation):
            requests += _switching(number, operation.value, on=True)
        return requests

    async def _wake(self) -> None:
        connection = self._driver.connection
        if self._awake_at is connection:
            return
        requests: list[Request] = [("feature_cnat_enable_disable", {"sw_if_index": _LOCAL, "enable_disable": False})]
        for item in await connection.dump("ip_table_dump"):
            visit = {"sw_if_index": _LOCAL, "is_ipv6": item.table.is_ip6}
            if item.table.table_id not in (0, NO_NUMBER):
                requests += [
                    ("sw_interface_set_table", {**visit, "vrf_id": item.table.table_id}),
                    ("sw_interface_set_table", {**visit, "vrf_id": 0}),
                ]
        for reply in await connection.batch(requests):
            if isinstance(reply, VppError):
                raise reply
        self._awake_at = connection


def _switching(number: int, value: TranslatedInterface, *, on: bool) -> list[Request]:
    if not value.passing:
        return [("feature_cnat_enable_disable", {"sw_if_index": number, "enable_disable": on})]
    return [
        (
            "feature_enable_disable",
            {"sw_if_index": number, "enable": on, "arc_name": arc, "feature_name": feature},
        )
        for arc, feature in _PASSING
    ]


def _is_another(operation: Operation) -> bool:
    """Whether an update asks for what VPP only takes when a translation is made."""
    if operation.kind is not OperationKind.UPDATE:
        return False
    old, new = operation.previous, operation.value
    return (old.balancing, old.affinity) != (new.balancing, new.affinity)


def _message(value: Translation) -> dict[str, Any]:
    affinity = _HASH_SOURCE if value.affinity else 0
    source = {"sw_if_index": NO_INTERFACE, "port": affinity}
    return {
        "vip": {"addr": _address(value.address), "sw_if_index": NO_INTERFACE, "port": value.port},
        "id": NO_INTERFACE,
        "ip_proto": _PROTOCOLS[value.protocol],
        "flags": _NO_CLIENT,
        "lb_type": _BALANCING[value.balancing],
        "n_paths": len(value.backends),
        "flow_hash_config": affinity,
        "paths": [
            {
                "dst_ep": {"addr": _address(one.address), "sw_if_index": NO_INTERFACE, "port": one.port},
                "src_ep": source,
                "flags": 0 if one.rewrite else _NO_REWRITE,
            }
            for one in value.backends
        ],
    }


@functools.lru_cache(maxsize=65536)
def _address(text: str) -> dict[str, Any]:
    return address_of(ipaddress.ip_address(text))


async def _dump(connection: Connection) -> list[Any]:
    items = await connection.dump("cnat_translation_dump")
    return [item for item in items if int(item.translation.ip_proto) in _PROTOCOL_NAMES]


def _entry(item: Any) -> tuple[str, int]:
    found = item.translation
    return translation_key(_PROTOCOL_NAMES[int(found.ip_proto)], _text(found.vip.addr), found.vip.port), found.id


def _value(item: Any) -> Translation:
    return Translation(
        _PROTOCOL_NAMES[int(item.ip_proto)],  # type: ignore[arg-type]
        _text(item.vip.addr),
        item.vip.port,
        tuple([_backend(_text(path.dst_ep.addr), path.dst_ep.port, path.flags) for path in item.paths]),
        _BALANCING_NAMES[int(item.lb_type)],  # type: ignore[arg-type]
        any(path.src_ep.port == _HASH_SOURCE for path in item.paths),
    )


@functools.lru_cache(maxsize=65536)
def _text(address: Any) -> str:
    return str(address)


def _backend(address: str, port: int, flags: int) -> Backend:
    return Backend(address, port, not flags & _NO_REWRITE)

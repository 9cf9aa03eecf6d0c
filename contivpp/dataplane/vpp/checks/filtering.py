"""Access lists, translations and source NAT."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

from contivpp.dataplane import fields
from contivpp.dataplane.vpp.checks.names import logical_name
from contivpp.dataplane.vpp.values.acl import Acl, AclList, AclRule
from contivpp.dataplane.vpp.values.source_nat import SourceNat, SourceNatInterface, SparedSubnet
from contivpp.dataplane.vpp.values.translation import Backend, TranslatedInterface, Translation

_BYTE: Final = 255
_PORT: Final = 65535
_MOST_LISTS: Final = 255


def _rule(number: int, rule: AclRule) -> AclRule:
    for name in ("source_ports", "destination_ports"):
        first, last = getattr(rule, name)
        fields.within(f"rules[{number}].{name}", first, 0, _PORT)
        fields.within(f"rules[{number}].{name}", last, first, _PORT)
    fields.within(f"rules[{number}].protocol", rule.protocol, 0, _BYTE)
    for flags in rule.tcp_flags:
        fields.within(f"rules[{number}].tcp_flags", flags, 0, _BYTE)
    source = fields.subnet(f"rules[{number}].source", rule.source)
    destination = fields.subnet(f"rules[{number}].destination", rule.destination)
    return dataclasses.replace(rule, source=source, destination=destination)


def _acl(value: Acl) -> Acl:
    logical_name("name", value.name)
    return dataclasses.replace(value, rules=tuple(_rule(number, rule) for number, rule in enumerate(value.rules)))


def _acl_list(value: AclList) -> AclList:
    logical_name("interface", value.interface)
    names = (*value.inbound, *value.outbound)
    fields.within("inbound", len(names), 1, _MOST_LISTS)
    for name in names:
        logical_name("inbound", name)
    return value


def _backend(backend: Backend) -> Backend:
    fields.within("backends", backend.port, 1, _PORT)
    return dataclasses.replace(backend, address=fields.address("backends", backend.address))


def _translation(value: Translation) -> Translation:
    fields.within("port", value.port, 1, _PORT)
    return dataclasses.replace(
        value, address=fields.address("address", value.address), backends=tuple(map(_backend, value.backends))
    )


def _translated_interface(value: TranslatedInterface) -> TranslatedInterface:
    logical_name("interface", value.interface)
    return value


def _source_nat(value: SourceNat) -> SourceNat:
    logical_name("idle", value.idle)
    return dataclasses.replace(
        value,
        ipv4=fields.address("ipv4", value.ipv4, 4) if value.ipv4 else "",
        ipv6=fields.address("ipv6", value.ipv6, 6) if value.ipv6 else "",
    )


def _spared_subnet(value: SparedSubnet) -> SparedSubnet:
    return SparedSubnet(fields.subnet("subnet", value.subnet))


def _source_nat_interface(value: SourceNatInterface) -> SourceNatInterface:
    logical_name("interface", value.interface)
    return value


CHECKS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    Acl: _acl,
    AclList: _acl_list,
    Translation: _translation,
    TranslatedInterface: _translated_interface,
    SourceNat: _source_nat,
    SparedSubnet: _spared_subnet,
    SourceNatInterface: _source_nat_interface,
}
"""What makes a value of each type as VPP gives it back."""

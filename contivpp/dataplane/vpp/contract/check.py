"""Whether a VPP has what the contract needs, type by type.

What counts is what goes over the wire and how vpp_papi shows it: another name for the same bytes is no difference,
unless vpp_papi converts one of the two names (an address, say) and not the other.
"""

from __future__ import annotations

from typing import Any, Final

from vpp_papi import vpp_format, vpp_serializer

from contivpp.dataplane.vpp.api.definitions import PING_REPLY, Definitions, Message
from contivpp.dataplane.vpp.contract.model import BASE_TYPES, Contract, Exchange, FieldType, Type

_CONVERTED: Final = frozenset(vpp_format.conversion_table) | frozenset(vpp_format.conversion_unpacker_table)


def differences(contract: Contract, definitions: Definitions) -> list[str]:
    """What is missing or different in a VPP, for people; empty when it will do."""
    return _Check(contract, definitions).run()


def full_name(name: str) -> str:
    """VPP's own name of a type."""
    return name if name in BASE_TYPES else f"vl_api_{name}_t"


class _Check:
    def __init__(self, contract: Contract, definitions: Definitions) -> None:
        self._contract = contract
        self._definitions = definitions
        self._found: list[str] = []

    def run(self) -> list[str]:
        by_name = self._definitions.by_name
        for name, fields in sorted(self._contract.messages().items()):
            if name not in by_name:
                self._found.append(f"message {name}")
                continue
            self._fields(name, fields, by_name[name].definition)
        for name, exchange in sorted(self._contract.exchanges.items()):
            if name in by_name:
                self._answer(by_name[name], exchange)
        for name, kind in sorted(self._contract.types.items()):
            self._type(name, kind)
        return self._found

    def _answer(self, message: Message, exchange: Exchange) -> None:
        wanted = (exchange.reply_name or PING_REPLY, exchange.details_name)
        if (message.reply, message.details) != wanted:
            said = " and ".join(filter(None, (message.details, message.reply))) or "nothing"
            self._found.append(f"{' and '.join(filter(None, reversed(wanted)))} for {message.name} (here {said})")

    def _fields(self, owner: str, fields: Any, definition: Any) -> None:
        positions = {name: position for position, name in enumerate(definition.fields)}
        for name, text in sorted(fields.items()):
            if name not in positions:
                self._found.append(f"field {name} of {owner}")
                continue
            at = positions[name]
            here = _spelled(definition.fieldtypes[at], definition.packers[at])
            if not self._same(FieldType.parse(text), here):
                self._found.append(f"field {name} of {owner} as {text} (here {here})")

    def _same(self, wanted: FieldType, here: FieldType) -> bool:
        if wanted == here:
            return True
        if _CONVERTED & {full_name(wanted.base), full_name(here.base)}:
            return False
        return self._wanted_bytes(wanted) == self._bytes_here(here)

    def _wanted_bytes(self, kind: FieldType) -> FieldType:
        """A type without other names for the same bytes, by the contract."""
        known = self._contract.types.get(kind.base)
        while known is not None and known.kind == "alias":
            of = FieldType.parse(known.base)
            if of.length and kind.length:
                break
            kind = FieldType(of.base, of.length or kind.length)
            known = self._contract.types.get(kind.base)
        return kind

    def _bytes_here(self, kind: FieldType) -> FieldType:
        """The same, by this VPP."""
        known = self._definitions.type(full_name(kind.base))
        while isinstance(known, vpp_serializer.VPPTypeAlias):
            of = _alias_of(known)
            if of.length and kind.length:
                break
            kind = FieldType(of.base, of.length or kind.length)
            known = self._definitions.type(full_name(kind.base))
        return kind

    def _type(self, name: str, kind: Type) -> None:
        here = self._definitions.type(full_name(name))
        match kind.kind, here:
            case "struct", vpp_serializer.VPPType():
                self._fields(f"type {name}", kind.fields, here)
            case "union", vpp_serializer.VPPUnionType():
                self._arms(name, kind, here)
            case "enum", vpp_serializer.VPPEnumType():
                self._values(name, kind, here)
            case "alias", vpp_serializer.VPPTypeAlias():
                of, wanted = _alias_of(here), FieldType.parse(kind.base)
                if not self._same(wanted, of):
                    self._found.append(f"type {name} as {wanted} (here {of})")
            case _, None:
                # A field that has another type instead was named above when that makes a difference.
                if not (kind.kind == "alias" and full_name(name) not in _CONVERTED):
                    self._found.append(f"type {name}")
            case _:
                self._found.append(f"type {name} as {kind.kind}")

    def _arms(self, name: str, kind: Type, here: Any) -> None:
        arms = {item[1]: _short(item[0]) for item in here.msgdef if not isinstance(item, dict)}
        for arm, text in sorted(kind.fields.items()):
            if arm not in arms:
                self._found.append(f"{arm} of type {name}")
            elif not self._same(FieldType.parse(text), FieldType(arms[arm])):
                self._found.append(f"{arm} of type {name} as {text} (here {arms[arm]})")

    def _values(self, name: str, kind: Type, here: Any) -> None:
        if here.enumtype != kind.base:
            self._found.append(f"type {name} as {kind.base} (here {here.enumtype})")
        for label, number in sorted(kind.values.items()):
            member = here.enum.__members__.get(label)
            if member is None:
                self._found.append(f"value {label} of {name}")
            elif member.value != number:
                self._found.append(f"value {label} of {name} as {number} (here {member.value})")


def _short(name: str) -> str:
    return name.removeprefix("vl_api_").removesuffix("_t") if name.startswith("vl_api_") else name


def _spelled(name: str, packer: Any) -> FieldType:
    """The type of a field of vpp_papi's, in the contract's words."""
    match packer:
        case vpp_serializer.FixedList() | vpp_serializer.FixedList_u8():
            return FieldType(_short(name), str(packer.num))
        case vpp_serializer.VLAList():
            return FieldType(_short(name), packer.length_field)
        case vpp_serializer.VLAList_legacy():
            return FieldType(_short(name), "*")
        case vpp_serializer.String():
            return FieldType(name, str(packer.num) if packer.num else "*")
        case _:
            return FieldType(_short(name))


def _alias_of(alias: Any) -> FieldType:
    return FieldType(_short(alias.msgdef["type"]), str(alias.msgdef.get("length", "")))

"""Packing messages, compiled: one closure per type instead of vpp_papi's walk over the definition for every message.

The bytes are those that vpp_papi's serializer makes of the same fields; a test compares the two for every message of a
VPP. What is left out is zero, or the default of the definition, and costs one constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vpp_papi import vpp_format, vpp_serializer

Pack = Callable[[Any], bytes]


def compiled(definition: Any) -> Pack:
    """The packer of a message: from its fields by name, with "_vl_msg_id", to bytes.

    The packer raises ValueError for a value that does not fit its field, with the name of the field.
    """
    return _Compiler().struct(definition)


class _Compiler:
    def __init__(self) -> None:
        self._known: dict[int, Pack] = {}

    def any(self, packer: Any) -> Pack:
        """The packer of any type, made once."""
        known = self._known.get(id(packer))
        if known is None:
            known = self._known[id(packer)] = self._make(packer)
        return known

    def _make(self, packer: Any) -> Pack:
        match packer:
            case vpp_serializer.VPPType():
                return self.struct(packer)
            case vpp_serializer.VPPTypeAlias():
                return _with_default(_converting(packer.name, self.any(packer.packer)), packer)
            case vpp_serializer.VPPUnionType():
                return self._union(packer)
            case vpp_serializer.VPPEnumType():
                return _number(vpp_serializer.types[packer.enumtype].packer.pack, packer)
            case vpp_serializer.FixedList():
                return self._fixed_list(packer)
            case vpp_serializer.VLAList() | vpp_serializer.VLAList_legacy():
                return self._list(packer)
            case vpp_serializer.BaseTypes():
                return _number(packer.packer.pack, packer)
            case _:  # strings and fixed arrays of bytes: as they are
                return lambda value: bytes(packer.pack(value))

    def struct(self, packer: Any) -> Pack:
        """A record: its fields one after the other."""
        parts: list[tuple[str, Pack, bytes]] = []
        for name, field in zip(packer.fields, packer.packers, strict=True):
            pack = self.any(field)
            parts.append((name, pack, pack(None)))
        label = packer.name

        def pack_struct(values: Any) -> bytes:
            if values is None:
                return zero
            result = []
            for name, pack, nothing in parts:
                value = values.get(name)
                if value is None:
                    result.append(nothing)
                    continue
                try:
                    result.append(pack(value))
                except Exception as error:
                    message = f"{label}.{name}: {value!r} does not fit: {error}"
                    raise ValueError(message) from error
            return b"".join(result)

        zero = b"".join(nothing for _, _, nothing in parts)
        return _converting(packer.name, pack_struct)

    def _union(self, packer: Any) -> Pack:
        arms: Mapping[str, Pack] = {name: self.any(arm) for name, arm in packer.packers.items()}
        size: int = packer.size
        zero = b"\0" * size

        def pack_union(value: Any) -> bytes:
            if not value:
                return zero
            name = next(iter(value))
            return arms[name](value[name]).ljust(size, b"\0")

        return pack_union

    def _fixed_list(self, packer: Any) -> Pack:
        element = self.any(packer.packer)
        count: int = packer.num
        zero = element(None) * count

        def pack_list(value: Any) -> bytes:
            if not value:
                return zero
            if len(value) != count:
                message = f"{len(value)} elements, not {count}"
                raise ValueError(message)
            return b"".join(map(element, value))

        return pack_list

    def _list(self, packer: Any) -> Pack:
        if packer.size == 1 and packer.field_type == "u8":
            return lambda value: bytes(value or b"")
        element = self.any(packer.packer)
        return lambda value: b"".join(map(element, value or ()))


def _number(pack: Callable[[Any], bytes], packer: Any) -> Pack:
    default = (packer.options or {}).get("default", 0)
    return lambda value: pack(default if value is None else value)


def _with_default(pack: Pack, packer: Any) -> Pack:
    default = (packer.options or {}).get("default")
    return pack if default is None else lambda value: pack(default if value is None else value)


def _converting(name: str, pack: Pack) -> Pack:
    """Also takes what vpp_papi takes for a type, such as text or an ipaddress object for an address."""
    conversions = vpp_format.conversion_table.get(name)
    if not conversions:
        return pack

    def pack_converted(value: Any) -> bytes:
        if value is None or isinstance(value, dict | bytes):
            return pack(value)
        convert = conversions.get(type(value).__name__)
        return pack(value if convert is None else convert(value))

    return pack_converted

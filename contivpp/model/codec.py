"""Records as JSON, exactly as the original writes them, and forgiving when reading.

Written: original protobuf field names, enums by name, zero values left out. Read: those, the lowerCamel names
that protobuf's JSON mapping also allows, and anything unknown is ignored. Source: spec/cluster.md 0.2, 11.2.
"""

from __future__ import annotations

import functools
import re
import typing
from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound="Record")


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all records in etcd: immutable, comparable, defaults mean absent."""


class DecodeError(Exception):
    """A value in etcd that is not the record it should be.

    Attributes:
        key: where it was found, may be empty.
        problem: what is wrong, with the place in the record.
    """

    def __init__(self, key: str, kind: str, problem: str) -> None:
        super().__init__(f"{key or kind}: not a valid {kind}: {problem}")
        self.key = key
        self.problem = problem


def encode(record: Record) -> bytes:
    """The record as JSON; equal records give equal bytes."""
    return msgspec.json.encode(record, order="deterministic")


def decode(kind: type[T], value: bytes, *, key: str = "") -> T:
    """The record that `value` holds.

    Raises:
        DecodeError: not JSON, or a field of the wrong type.
    """
    try:
        pattern = _camel_pattern(kind)
        if pattern is not None and pattern.search(value):
            return msgspec.convert(_original_names(kind, msgspec.json.decode(value)), kind, strict=False)
        return _decoder(kind).decode(value)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(key, kind.__name__, str(error)) from error


@functools.cache
def _decoder(kind: type[Record]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, strict=False)


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


@functools.cache
def _camel_pattern(kind: type[Record]) -> re.Pattern[bytes] | None:
    names = sorted({_camel(name) for name in _all_names(kind) if _camel(name) != name})
    return re.compile(('"(?:' + "|".join(names) + ')"\\s*:').encode()) if names else None


def _all_names(kind: type[Record]) -> set[str]:
    names: set[str] = set()
    for field in msgspec.structs.fields(kind):
        names.add(field.encode_name)
        if (inner := _record_in(field.type)) is not None:
            names |= _all_names(inner)
    return names


def _record_in(annotation: Any) -> type[Record] | None:
    """The record type inside an annotation such as `tuple[Port, ...]` or `Port | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation
    for argument in typing.get_args(annotation):
        if (inner := _record_in(argument)) is not None:
            return inner
    return None


def _original_names(kind: type[Record], value: Any) -> Any:
    if isinstance(value, list):
        return [_original_names(kind, item) for item in value]
    if not isinstance(value, dict):
        return value
    result = dict(value)
    for field in msgspec.structs.fields(kind):
        camel = _camel(field.encode_name)
        if camel in result and field.encode_name not in result:
            result[field.encode_name] = result.pop(camel)
        if (inner := _record_in(field.type)) is not None and field.encode_name in result:
            result[field.encode_name] = _original_names(inner, result[field.encode_name])
    return result

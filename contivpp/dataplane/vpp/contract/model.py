"""The contract as data: read from its files, joined, and refused when two files contradict each other."""

from __future__ import annotations

import functools
import importlib.resources
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Fields = Mapping[str, str]
BASE_TYPES: Final = frozenset({"u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f64", "bool", "string"})
_FIELD_TYPE: Final = re.compile(r"(\w+)(?:\[(\w*)\])?")
_KINDS: Final = ("struct", "union", "enum", "alias")


class ContractError(ValueError):
    """A file of the contract is wrong, or contradicts another one; says where."""


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field, taken apart.

    Attributes:
        base: the name of one element.
        length: "" for one; a number of elements; the name of the field that has the number; "*" for all that follow.
    """

    base: str
    length: str = ""

    @classmethod
    def parse(cls, text: str) -> FieldType:
        """From the contract's words.

        Raises:
            ContractError: it is not of the form "name", "name[4]", "name[field]" or "name[]".
        """
        found = _FIELD_TYPE.fullmatch(text)
        if found is None:
            raise ContractError(f"{text!r} is no type of a field")
        base, length = found.groups()
        return cls(base, "" if length is None else length or "*")

    def __str__(self) -> str:
        if not self.length:
            return self.base
        return f"{self.base}[{'' if self.length == '*' else self.length}]"


@dataclass(frozen=True, slots=True)
class Type:
    """A type that VPP has beside its base types.

    Attributes:
        kind: "struct", "union", "enum" or "alias".
        base: what an enum is packed as, or what an alias is another name of.
        fields: of a struct or union.
        values: of an enum, those that are used.
    """

    kind: str
    base: str = ""
    fields: Fields = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what answers it.

    Attributes:
        reply: None when the answer to a ping ends the details.
        details: None when there are none.
        reply_name: of the message that has `reply`.
        details_name: of the messages that have `details`.
    """

    request: Fields
    reply: Fields | None
    details: Fields | None
    reply_name: str
    details_name: str


@dataclass(frozen=True, slots=True)
class Contract:
    """Messages with their answers, events, and the types of their fields."""

    exchanges: Mapping[str, Exchange] = field(default_factory=dict)
    events: Mapping[str, Fields] = field(default_factory=dict)
    types: Mapping[str, Type] = field(default_factory=dict)

    def messages(self) -> dict[str, Fields]:
        """Every message by name: requests, replies, details and events."""
        found: dict[str, Fields] = {}
        for name, exchange in self.exchanges.items():
            found[name] = exchange.request
            if exchange.reply is not None:
                found[exchange.reply_name] = exchange.reply
            if exchange.details is not None:
                found[exchange.details_name] = exchange.details
        return {**found, **self.events}


def load(*families: str) -> Contract:
    """The contract of this release, or what some families have in it, with the types that they need.

    Raises:
        ContractError: its files contradict each other.
    """
    files = _files()
    whole = joined(files.values())
    if not families:
        return whole
    some = joined(files[family] for family in families)
    return Contract(some.exchanges, some.events, _needed(some, whole.types))


@functools.cache
def _files() -> Mapping[str, Contract]:
    folder = importlib.resources.files(__package__)
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name.removesuffix(".toml"): parse(file.read_text(encoding="utf-8"), file.name) for file in files}


def _needed(contract: Contract, types: Mapping[str, Type]) -> dict[str, Type]:
    found: dict[str, Type] = {}
    waiting = [text for fields in contract.messages().values() for text in fields.values()]
    while waiting:
        base = FieldType.parse(waiting.pop()).base
        if base in types and base not in found:
            kind = found[base] = types[base]
            waiting += [*kind.fields.values(), *([kind.base] if kind.kind == "alias" else [])]
    return found


def parse(text: str, where: str = "a contract") -> Contract:
    """The contract in one file.

    Raises:
        ContractError: it has a form that a contract has not.
    """
    try:
        content = tomllib.loads(text)
        if unknown := content.keys() - {"message", "event", "type"}:
            raise ContractError(f"there is no section {sorted(unknown)[0]}")
        return Contract(
            exchanges={name: _exchange(name, one) for name, one in content.get("message", {}).items()},
            events=_checked(content.get("event", {})),
            types={name: _type(name, one) for name, one in content.get("type", {}).items()},
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise ContractError(f"{where}: {error}") from error


def joined(contracts: Iterable[Contract]) -> Contract:
    """Several contracts as one: of what two of them name, the fields of both.

    Raises:
        ContractError: they give a field two types, or a message two answers.
    """
    exchanges: dict[str, Exchange] = {}
    events: dict[str, Fields] = {}
    types: dict[str, Type] = {}
    for contract in contracts:
        for name, exchange in contract.exchanges.items():
            exchanges[name] = _join_exchanges(name, exchanges.get(name, exchange), exchange)
        for name, fields in contract.events.items():
            events[name] = _join(name, events.get(name, {}), fields)
        for name, kind in contract.types.items():
            before = types.get(name, kind)
            if (before.kind, before.base) != (kind.kind, kind.base):
                raise ContractError(f"type {name} is {before.kind} {before.base} and {kind.kind} {kind.base}")
            fields, values = _join(name, before.fields, kind.fields), _join(name, before.values, kind.values)
            types[name] = Type(kind.kind, kind.base, fields, values)
    return Contract(exchanges, events, types)


def _join_exchanges(name: str, one: Exchange, other: Exchange) -> Exchange:
    names = (one.reply_name, one.details_name), (other.reply_name, other.details_name)
    if names[0] != names[1] or (one.reply is None) != (other.reply is None):
        raise ContractError(f"message {name} has two answers: {names[0]} and {names[1]}")
    return Exchange(
        _join(name, one.request, other.request),
        None if one.reply is None else _join(one.reply_name, one.reply, other.reply or {}),
        None if one.details is None else _join(one.details_name, one.details, other.details or {}),
        *names[0],
    )


def _join(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    for field_name in one.keys() & other.keys():
        if one[field_name] != other[field_name]:
            raise ContractError(f"{field_name} of {name} is {one[field_name]} and {other[field_name]}")
    return {**one, **other}


def details_of(name: str) -> str:
    """What the details of a message are called, unless the contract says otherwise."""
    return f"{name.removesuffix('_dump').removesuffix('_get')}_details"


def _exchange(name: str, content: Mapping[str, Any]) -> Exchange:
    if unknown := content.keys() - {"request", "reply", "details", "reply_name", "details_name"}:
        raise ContractError(f"message {name} has no part {sorted(unknown)[0]}")
    request, details = content.get("request", {}), content.get("details")
    reply = content.get("reply", {} if details is None else None)
    _checked({name: part for name, part in (("request", request), ("reply", reply), ("details", details)) if part})
    reply_name = "" if reply is None else content.get("reply_name", f"{name}_reply")
    details_name = "" if details is None else content.get("details_name", details_of(name))
    return Exchange(request, reply, details, reply_name, details_name)


def _type(name: str, content: Mapping[str, Any]) -> Type:
    kind = next((one for one in _KINDS if one in content), "")
    if not kind or content.keys() - {kind, "values"}:
        raise ContractError(f"type {name} is not one of {', '.join(_KINDS)}")
    if kind in ("struct", "union"):
        return Type(kind, fields=_checked({name: content[kind]})[name])
    return Type(kind, str(FieldType.parse(content[kind])), values=content.get("values", {}))


def _checked(messages: Mapping[str, Any]) -> dict[str, Fields]:
    for fields in messages.values():
        for text in fields.values():
            FieldType.parse(text)
    return dict(messages)

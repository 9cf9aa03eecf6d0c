"""External items: a scheduler key and a JSON object with fields of the value that belongs there.

An item may name all fields of a value, or only those that are to differ from what the agent renders under the same
key. What the fields may be is the data plane's to say: it brings a `Catalogue`. An item that cannot become a value
is refused with a sentence that names where it was found, the field and the remedy. Source: spec/agent.md 2.7.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec


class ItemError(Exception):
    """An item that is refused; the message is one sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a data plane can make.

    Attributes:
        types: frozen dataclasses with a `key`, by the prefix of their keys; several may share one.
        check: a value as the data plane will give it back; raises ValueError for one that it would not take.
    """

    types: Mapping[str, tuple[type, ...]]
    check: Callable[[Any], Any]

    def types_of(self, key: str) -> tuple[type, ...]:
        """The types whose values may have `key`; of several prefixes the longest counts."""
        prefix = max((one for one in self.types if key.startswith(one)), key=len, default="")
        return self.types[prefix] if prefix else ()


class Maker(Protocol):
    """A data plane, as far as it says what it can make."""

    def value_types(self) -> Mapping[str, tuple[type, ...]]:
        """As `Catalogue.types`."""
        ...

    def check(self, value: Any) -> Any:
        """As `Catalogue.check`."""
        ...


def catalogue_of(*planes: Maker) -> Catalogue:
    """What several data planes of one node can make together; each checks the values of its own."""
    types = {prefix: kinds for plane in planes for prefix, kinds in plane.value_types().items()}
    owners = {kind: plane for plane in planes for kinds in plane.value_types().values() for kind in kinds}
    return Catalogue(types, lambda value: owners[type(value)].check(value))


@dataclass(frozen=True, slots=True)
class Partial:
    """Some fields of a dataclass, converted to their types; a field that is a dataclass itself may be partial."""

    kind: type
    fields: Mapping[str, Any]

    def over(self, base: Any) -> Any:
        """`base`, a `kind`, with these fields: scalars replace, tuples append what is new, objects merge.

        Raises:
            ValueError: an object that is incomplete, and `base` has none to complete it.
        """
        hints = _hints(self.kind)
        changed = {name: _combine(hints[name], getattr(base, name), new) for name, new in self.fields.items()}
        return dataclasses.replace(base, **changed)

    def joined(self, other: Partial) -> Partial:
        """These fields, and those of `other` over them."""
        hints, fields = _hints(self.kind), dict(self.fields)
        for name, new in other.fields.items():
            if isinstance(new, Partial) and isinstance(old := fields.get(name), Partial):
                fields[name] = old.joined(new)
            else:
                fields[name] = _combine(hints[name], fields[name], new, whole=False) if name in fields else new
        return Partial(self.kind, fields)

    def missing(self, path: str = "") -> list[str]:
        """The fields that have no default and are not here, such as "to" or "peer.address"."""
        found = []
        for field in dataclasses.fields(self.kind):
            if field.name not in self.fields:
                if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                    found.append(path + field.name)
            elif isinstance(inner := self.fields[field.name], Partial):
                found += inner.missing(f"{path}{field.name}.")
        return found

    def build(self) -> Any:
        """The whole value.

        Raises:
            ValueError: fields are missing.
        """
        if missing := self.missing():
            message = f"field {missing[0]} is missing"
            raise ValueError(message)
        return self.kind(
            **{name: part.build() if isinstance(part, Partial) else part for name, part in self.fields.items()}
        )


@dataclass(frozen=True, slots=True)
class Item:
    """One accepted item of a source.

    Attributes:
        raw: the JSON object as it came.
        partials: what it says, for every type that it may be meant as.
    """

    source: str
    key: str
    raw: bytes
    partials: tuple[Partial, ...]


def finished(catalogue: Catalogue, key: str, value: Any) -> Any:
    """A value in the form that the data plane gives back.

    Raises:
        ValueError: the data plane would not take it, or it belongs under another key.
    """
    checked = catalogue.check(value)
    if checked.key != key:
        message = f"its fields make the key {checked.key}: write it there, or correct the fields"
        raise ValueError(message)
    return checked


def decode(catalogue: Catalogue, source: str, key: str, raw: bytes, *, where: str) -> Item:
    """The item that `raw` holds.

    Args:
        catalogue: what there may be.
        source: who wants it.
        key: the scheduler key.
        raw: JSON.
        where: the place to name when it is wrong, such as the key in etcd.

    Raises:
        ItemError: it is refused.
    """
    kinds = catalogue.types_of(key)
    if not kinds:
        known = ", ".join(sorted(catalogue.types)) or "nothing"
        raise ItemError(f"{where}: the data plane has no values under this key; it has {known}: correct the key")
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ItemError(f"{where}: is not JSON ({error}): write an object with the fields of the value") from error
    if not isinstance(found, dict):
        raise ItemError(f"{where}: is not a JSON object: write one with the fields {_names(kinds[0])}")
    accepted: list[Partial] = []
    refused: list[list[str]] = []
    for kind in kinds:
        problems: list[str] = []
        partial = _partial(kind, found, "", problems)
        if not problems and not partial.missing():
            try:
                finished(catalogue, key, partial.build())
            except ValueError as error:
                problems.append(str(error))
        if problems:
            refused.append(problems)
        else:
            accepted.append(partial)
    if not accepted:
        nearest = min(refused, key=lambda problems: (len(problems), "did you mean" not in problems[0]))
        raise ItemError(f"{where}: {'; '.join(nearest)}")
    return Item(source, key, raw, tuple(accepted))


# ---- fields


def _partial(kind: type, found: Mapping[str, Any], path: str, problems: list[str]) -> Partial:
    hints, fields = _hints(kind), {}
    for name, value in found.items():
        if name not in hints:
            near = difflib.get_close_matches(name, hints, 1)
            remedy = f"did you mean {near[0]}?" if near else f"there are {_names(kind)}"
            problems.append(f"field {path}{name} is unknown; {remedy}")
            continue
        fields[name] = _convert(hints[name], value, path + name, problems)
    return Partial(kind, fields)


def _convert(hint: Any, value: Any, path: str, problems: list[str]) -> Any:
    inner = _without_none(hint)
    if value is None and inner is not hint:
        return None
    if dataclasses.is_dataclass(inner) and isinstance(inner, type) and isinstance(value, dict):
        return _partial(inner, value, f"{path}.", problems)
    element = _element(inner)
    if dataclasses.is_dataclass(element) and isinstance(value, list):
        members = [_convert(element, member, f"{path}[{n}]", problems) for n, member in enumerate(value)]
        for n, member in enumerate(members):
            if isinstance(member, Partial):
                problems += [f"field {path}[{n}].{name} is missing: write it" for name in member.missing()]
        return () if problems else tuple(one.build() if isinstance(one, Partial) else one for one in members)
    try:
        return msgspec.convert(value, inner, strict=True)
    except msgspec.ValidationError as error:
        problems.append(f"field {path} has the wrong type ({str(error).replace('`', '')}): correct it")
    except TypeError:
        problems.append(f"field {path} cannot be set from outside: leave it out")
    return None


def _combine(hint: Any, old: Any, new: Any, *, whole: bool = True) -> Any:
    if isinstance(new, Partial):
        if old is not None and not isinstance(old, Partial):
            return new.over(old)
        return new.build() if whole else new
    inner = _without_none(hint)
    if _element(inner) is not None and old and new:
        try:
            return tuple(dict.fromkeys((*old, *new)))
        except TypeError:  # members that cannot be hashed
            return (*old, *(one for n, one in enumerate(new) if one not in old and one not in new[:n]))
    if isinstance(old, frozenset) and isinstance(new, frozenset):
        return old | new
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **new}
    return new


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    """The types of the fields that the constructor takes."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}


def _without_none(hint: Any) -> Any:
    """`X` for `X | None`; anything else as it is."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [one for one in typing.get_args(hint) if one is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return hint


def _element(hint: Any) -> Any:
    """`X` for `tuple[X, ...]`; None for anything else: a tuple of fixed length is one thing."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return arguments[0]
    return None


def _names(kind: type) -> str:
    return ", ".join(_hints(kind))

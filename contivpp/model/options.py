"""Configuration files as typed records: every mistake in a file at once, each with the option's name.

A file is a frozen dataclass whose fields all have defaults; an option is a field whose metadata says its name
where that is not the field's name in camelCase. Names match whatever their case is, as in the original.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Hashable, Iterator
from typing import Any, Generic, TypeVar

import yaml

T = TypeVar("T")

_SHOWN_LENGTH = 60
_INDEX = re.compile(r"\[\d+\]")


class ConfigError(Exception):
    """A configuration cannot be used.

    Attributes:
        source: the file.
        problems: one sentence per mistake, each beginning with the option's dotted name.
    """

    def __init__(self, source: str, problems: list[str]) -> None:
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))
        self.source = source
        self.problems = problems


class Problems:
    """The mistakes of one file in the order of their discovery."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self._places: set[str] = set()

    def add(self, place: str, sentence: str) -> None:
        """Notes a mistake at an option (its dotted name, empty for the whole file)."""
        self.sentences.append(f"{place or 'the file'}: {sentence}")
        self._places.add(place)

    def at(self, *options: str) -> bool:
        """Whether a mistake was found at one of the options or at what holds it: its value is not known."""
        return any(
            option == place or option.startswith((f"{place}.", f"{place}["))
            for option in options
            for place in self._places
        )

    def check(self, source: str) -> None:
        """Ends the reading when there was any mistake.

        Raises:
            ConfigError: with all of them.
        """
        if self.sentences:
            raise ConfigError(source, self.sentences)


@dataclasses.dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """A file that was read.

    Attributes:
        record: what it says; an option with a mistake has its default.
        problems: the mistakes that can be seen without knowing what the options mean.
        given: the dotted names of the options that the file holds, lists without their indices.
    """

    record: T
    problems: Problems
    given: frozenset[str]


def named(option: str, default: Any = dataclasses.MISSING, **arguments: Any) -> Any:
    """A dataclass field whose option has a name of its own."""
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata={"option": option}, **arguments)
    return dataclasses.field(default=default, metadata={"option": option}, **arguments)


def option_name(field: dataclasses.Field[Any]) -> str:
    """The name that a field has in the file."""
    explicit: str | None = field.metadata.get("option")
    head, *tail = field.name.split("_")
    return explicit or head + "".join(part.capitalize() for part in tail)


def read(kind: type[T], text: str, *, source: str) -> Reading[T]:
    """Reads YAML text into a record, however many mistakes it holds.

    Raises:
        ConfigError: the text is not YAML, or not a mapping.
    """
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader that refuses repeated keys
    except _RepeatedKeyError as error:
        raise ConfigError(source, [f"the file: {error}"]) from error
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(source, [f"the file: is not YAML{where}: {error.problem or error.context}"]) from error
    except yaml.YAMLError as error:
        raise ConfigError(source, [f"the file: is not YAML: {' '.join(str(error).split())}"]) from error
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(source, [f"the file: must be a mapping of options, not {shown(tree)}"])
    reader = _Reader(kind)
    record = reader.record(kind, tree, "")
    return Reading(typing.cast("T", record), reader.problems, frozenset(reader.given))


def as_options(record: Any) -> dict[str, Any]:
    """The record as a file would say it, options in order."""
    result: dict[str, Any] = {}
    for field in _options(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            value = as_options(value)
        elif isinstance(value, tuple):
            value = [as_options(item) if dataclasses.is_dataclass(item) else item for item in value]
        result[option_name(field)] = value
    return result


def shown(item: Any) -> str:
    """A value as it is quoted in a message."""
    text = repr(item)
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 3] + "..."


class _Wrong:
    """Stands for a value that cannot be used."""


class _RepeatedKeyError(yaml.YAMLError):
    """A key stands twice in a mapping, where YAML's readers silently take the last one."""


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            name = str(key.value).lower()
            line = key.start_mark.line + 1
            if name in seen:
                message = f"{key.value} stands in line {seen[name]} and again in line {line}; keep one of the two"
                raise _RepeatedKeyError(message)
            seen[name] = line
        return super().construct_mapping(node, deep)


class _Reader:
    """Turns the tree of one file into a record of `kind`."""

    def __init__(self, kind: Any) -> None:
        self.problems = Problems()
        self.given: set[str] = set()
        self._places = dict(_places(kind, ""))

    def record(self, kind: Any, tree: dict[Any, Any], path: str) -> Any:
        hints = typing.get_type_hints(kind)
        fields = {option_name(field).lower(): field for field in _options(kind)}
        values: dict[str, Any] = {}
        for key, item in tree.items():
            field = fields.get(str(key).lower())
            if field is None:
                names = {name: option_name(known) for name, known in fields.items()}
                self.problems.add(_inside(path, str(key)), f"there is no such option; {self._remedy(str(key), names)}")
                continue
            place = _inside(path, option_name(field))
            self.given.add(_INDEX.sub("", place))
            if item is not None:
                value = self._value(hints[field.name], item, place)
                if value is not _Wrong:
                    values[field.name] = value
        return kind(**values)

    def _remedy(self, key: str, names: dict[str, str]) -> str:
        for known in (names, self._places):
            exact = known.get(key.lower())
            near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.75)
            if exact or near:
                return f"did you mean {exact or known[near[0]]}?"
        return f"known are {', '.join(names.values())}"

    def _value(self, hint: Any, item: Any, place: str) -> Any:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            hint = next(argument for argument in arguments if argument is not type(None))
        if dataclasses.is_dataclass(hint):
            if isinstance(item, dict):
                return self.record(hint, item, place)
            return self._wrong(place, "a mapping of options", item)
        if origin is tuple:
            return self._list(arguments[0], item, place)
        if origin is typing.Literal:
            return item if item in arguments else self._wrong_choice(place, arguments, item)
        if not isinstance(item, hint) or (isinstance(item, bool) and hint is not bool):
            word = {bool: "true or false", int: "a whole number", str: "text"}[hint]
            return self._wrong(place, word, item)
        return item

    def _list(self, kind: Any, items: Any, place: str) -> Any:
        """A wrong member stays in its place as a default one, so that the others keep their numbers."""
        if not isinstance(items, list):
            return self._wrong(place, "a list", items)
        found = [self._value(kind, item, f"{place}[{number}]") for number, item in enumerate(items)]
        return tuple(kind() if item is _Wrong else item for item in found)

    def _wrong(self, place: str, wanted: str, item: Any) -> type[_Wrong]:
        self.problems.add(place, f"must be {wanted}, not {shown(item)}")
        return _Wrong

    def _wrong_choice(self, place: str, choices: tuple[str, ...], item: Any) -> type[_Wrong]:
        near = difflib.get_close_matches(str(item), [choice for choice in choices if choice], n=1)
        remedy = f"; did you mean {near[0]}?" if near else ""
        wanted = ", ".join(choice or '""' for choice in choices)
        self.problems.add(place, f"must be one of {wanted}, not {shown(item)}{remedy}")
        return _Wrong


def _options(kind: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(kind) if field.init]


def _places(kind: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every option of the file in lower case, and where it belongs."""
    hints = typing.get_type_hints(kind)
    for field in _options(kind):
        place = _inside(path, option_name(field))
        yield option_name(field).lower(), place
        for inner in (hints[field.name], *typing.get_args(hints[field.name])):
            if dataclasses.is_dataclass(inner):
                yield from _places(inner, f"{place}[]" if typing.get_origin(hints[field.name]) is tuple else place)


def _inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name

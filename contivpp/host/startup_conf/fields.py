"""How the fields of the model are settings: one kind of field for every way in which VPP writes a value.

A field's kind knows the form of its setting in the text, reads and writes it, takes it from an option of YAML, and
says what is wrong with a value. Each section of the model keeps in `extra` the settings that it does not know.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from typing import Any, Iterator, Mapping, Sequence, TypeVar

from .syntax import Form, Forms, Node, Setting

SIZE = re.compile(r"[0-9]+[kKmMgGtT]?")
PAGE_SIZE = re.compile(r"default|default-hugepage|[0-9]+[kKmMgG]?")
CORES = re.compile(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*")
WORD = re.compile(r"[^\s{}#]+")
Section = TypeVar("Section")


class Kind:
    """What all kinds of field share: a setting with one word of value. "" is none."""

    form = Form(1)
    default: Any = ""
    pattern = WORD
    wanted = "one word without braces and #"

    def read(self, settings: Sequence[Setting], place: str, problems: list[str]) -> Any:
        """The value that the settings of the field's key say; the last one counts, as for VPP."""
        return self.take(settings[-1].values[0], place, problems)

    def write(self, key: tuple[str, ...], value: Any) -> list[Setting]:
        """The settings that say a value; none for the default."""
        return [] if value == self.default else [Setting(key, (str(value),), known=True)]

    def take(self, value: Any, place: str, problems: list[str]) -> Any:
        """The value from an option of YAML, or from a word."""
        if isinstance(value, bool) or not isinstance(value, (str, int)) or not self.pattern.fullmatch(str(value)):
            problems.append("%s: %r is not %s" % (place, value, self.wanted))
            return self.default
        return str(value)

    def check(self, value: Any, place: str, problems: list[str]) -> None:
        """Says what is wrong with a value of the model."""
        if value != self.default:
            self.take(value, place, problems)


class Size(Kind):
    """An amount of memory, such as 512M."""

    pattern = SIZE
    wanted = "an amount of memory, such as 512M or 1G"


class PageSize(Kind):
    """The size of a page, such as 2M, or default-hugepage."""

    pattern = PAGE_SIZE
    wanted = "a page size: default, default-hugepage, or such as 4K, 2M, 1G"


class Cores(Kind):
    """Numbers and ranges, such as 2-3,18."""

    pattern = CORES
    wanted = "a list of cores, such as 2-3,18"

    def take(self, value: Any, place: str, problems: list[str]) -> Any:
        """As for every kind; VPP reads no range that goes down."""
        text = super().take(value, place, problems)
        ranges = [[int(end) for end in part.split("-")] for part in text.split(",") if part]
        if any(ends != sorted(ends) for ends in ranges):
            problems.append("%s: %r is not %s" % (place, value, self.wanted))
            return self.default
        return text


class Hexadecimal(Kind):
    """What VPP reads as hexadecimal digits. YAML makes a number of them, and its digits would be others."""

    def take(self, value: Any, place: str, problems: list[str]) -> Any:
        """As for every kind, and no number."""
        if isinstance(value, int) and not isinstance(value, bool):
            problems.append("%s: %r is a number: write it in quotes, as %s" % (place, value, self.wanted))
            return self.default
        return super().take(value, place, problems)


class Mask(Hexadecimal):
    """Cores as the bits of a number, the lowest last."""

    pattern = re.compile(r"([0-9a-fA-F]{2})+")
    wanted = "an even number of hexadecimal digits without 0x, such as '0c'"


class Address(Hexadecimal):
    """An address in memory."""

    pattern = re.compile(r"0x[0-9a-fA-F]+")
    wanted = "an address in memory, such as '0xfc0000000'"


class Number(Kind):
    """A whole number, not negative; None is none."""

    default = None
    pattern = re.compile(r"[0-9]+")
    wanted = "a whole number"

    def take(self, value: Any, place: str, problems: list[str]) -> Any:
        """As for every kind."""
        text = super().take(value, place, problems)
        return None if text is None else int(text)


class Decimal(Kind):
    """A number of seconds, as it is written."""

    pattern = re.compile(r"[0-9]+(\.[0-9]+)?")
    wanted = "a number, such as 10 or 0.5"

    def take(self, value: Any, place: str, problems: list[str]) -> Any:
        """As for every kind; YAML has numbers with a fraction."""
        return super().take(str(value) if isinstance(value, float) else value, place, problems)


class Flag(Kind):
    """A setting that is there or not."""

    form = Form(0)
    default = False

    def read(self, settings: Sequence[Setting], place: str, problems: list[str]) -> Any:
        """As for every kind."""
        return True

    def write(self, key: tuple[str, ...], value: Any) -> list[Setting]:
        """As for every kind."""
        return [Setting(key, known=True)] if value else []

    def take(self, value: Any, place: str, problems: list[str]) -> Any:
        """As for every kind."""
        if not isinstance(value, bool):
            problems.append("%s: %r is not true or false" % (place, value))
            return False
        return value


class Switch(Kind):
    """A setting that is on or off; None leaves it to VPP."""

    default = None
    wanted = "on or off"

    def write(self, key: tuple[str, ...], value: Any) -> list[Setting]:
        """As for every kind."""
        return [] if value is None else [Setting(key, ("on" if value else "off",), known=True)]

    def take(self, value: Any, place: str, problems: list[str]) -> Any:
        """As for every kind."""
        if isinstance(value, bool):
            return value
        if value not in ("on", "off"):
            problems.append("%s: %r is not on or off" % (place, value))
            return None
        return value == "on"


class Choice(Kind):
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self.pattern = re.compile("|".join(map(re.escape, words)))
        self.wanted = "one of " + ", ".join(words)


class Words(Kind):
    """A setting that may be there several times."""

    default: tuple[str, ...] = ()

    def read(self, settings: Sequence[Setting], place: str, problems: list[str]) -> Any:
        """As for every kind."""
        return tuple(setting.values[0] for setting in settings)

    def write(self, key: tuple[str, ...], value: Any) -> list[Setting]:
        """As for every kind. Each is a name of its own, so that one of them can come or go."""
        return [Setting(key, (word,), known=True, named=True) for word in value]

    def take(self, value: Any, place: str, problems: list[str]) -> Any:
        """As for every kind; YAML has a list."""
        if not isinstance(value, (list, tuple)):
            problems.append("%s: %r is not a list" % (place, value))
            return ()
        for word in value:
            super().take(word, place, problems)
        return tuple(str(word) for word in value)

    form = Form(1, named=True)


class Block(Kind):
    """A block with settings of its own: a section of the model."""

    def __init__(self, section: type[Any]) -> None:
        self.section = section
        self.form = Form(0, forms_of(section))
        self.default = section()

    def read(self, settings: Sequence[Setting], place: str, problems: list[str]) -> Any:
        """As for every kind; several blocks of one name are one."""
        inner: tuple[Node, ...] = tuple(node for setting in settings for node in setting.block or ())
        return section_of(self.section, inner, place, problems)

    def write(self, key: tuple[str, ...], value: Any) -> list[Setting]:
        """As for every kind."""
        return [] if value == self.default else [Setting(key, (), tuple(settings_of(value)), known=True)]

    def take(self, value: Any, place: str, problems: list[str]) -> Any:
        """As for every kind."""
        return from_options(self.section, value, place, problems)

    def check(self, value: Any, place: str, problems: list[str]) -> None:
        """As for every kind."""
        check(value, place, problems)


class Blocks(Kind):
    """Blocks by name, in the order of the file: pairs of name and section."""

    default: tuple[tuple[str, Any], ...] = ()

    def __init__(self, section: type[Any]) -> None:
        self.section = section
        self.form = Form(1, forms_of(section), named=True)

    def read(self, settings: Sequence[Setting], place: str, problems: list[str]) -> Any:
        """As for every kind; of several blocks of one name the settings add up."""
        inner: dict[str, tuple[Node, ...]] = {}
        for setting in settings:
            inner[setting.values[0]] = inner.get(setting.values[0], ()) + (setting.block or ())
        return tuple(
            (name, section_of(self.section, nodes, "%s %s" % (place, name), problems)) for name, nodes in inner.items()
        )

    def write(self, key: tuple[str, ...], value: Any) -> list[Setting]:
        """As for every kind."""
        written = []
        for name, section in value:
            inner = tuple(settings_of(section))
            written.append(Setting(key, (name,), inner or None, known=True, named=True))
        return written

    def take(self, value: Any, place: str, problems: list[str]) -> Any:
        """As for every kind; YAML has an object by name."""
        if not isinstance(value, Mapping):
            problems.append("%s: %r is not an object with a block for each name" % (place, value))
            return ()
        found = []
        for name, inner in value.items():
            super().take(name, place, problems)
            found.append((str(name), from_options(self.section, inner or {}, "%s %s" % (place, name), problems)))
        return tuple(found)

    def check(self, value: Any, place: str, problems: list[str]) -> None:
        """As for every kind."""
        names = [name for name, _ in value]
        problems += ["%s %s: is there twice" % (place, name) for name in sorted(set(names)) if names.count(name) > 1]
        for name, section in value:
            super().take(name, place, problems)
            check(section, "%s %s" % (place, name), problems)


def setting(key: str, kind: Kind) -> Any:
    """A field of a section for the setting with this key."""
    return dataclasses.field(default=kind.default, metadata={"key": tuple(key.split()), "kind": kind})


def fields(section: Any) -> Iterator[tuple[str, tuple[str, ...], Kind]]:
    """Name, key and kind of a section's fields, in order."""
    for field in dataclasses.fields(section):
        if "kind" in field.metadata:
            yield field.name, field.metadata["key"], field.metadata["kind"]


def forms_of(section: type[Any]) -> Forms:
    """The forms of a section's settings."""
    return {key: kind.form for _, key, kind in fields(section)}


def settings_of(section: Any) -> list[Setting]:
    """What is not as by default, in the order of the model; what is unknown comes last."""
    found: list[Setting] = []
    for name, key, kind in fields(section):
        found += kind.write(key, getattr(section, name))
    return found + list(section.extra)


def section_of(section: type[Section], nodes: Sequence[Node], place: str, problems: list[str]) -> Section:
    """The section that the nodes of a block say."""
    settings = [node for node in nodes if isinstance(node, Setting)]
    values: dict[str, Any] = {}
    for name, key, kind in fields(section):
        said = [one for one in settings if one.known and one.key == key]
        if said:
            values[name] = kind.read(said, _join(place, key), problems)
    values["extra"] = tuple(bare(one) for one in settings if not one.known)
    return section(**values)


def bare(node: Setting) -> Setting:
    """An unknown setting without its comments."""
    if node.block is None:
        return Setting(node.key, node.values)
    return Setting(node.key, node.values, tuple(bare(one) for one in node.block if isinstance(one, Setting)))


def from_options(section: type[Section], options: Any, place: str, problems: list[str]) -> Section:
    """The section from options as YAML has them, by the keys of startup.conf; unknown ones go to `extra`."""
    if not isinstance(options, Mapping):
        problems.append("%s: %r is not an object" % (place or "startup.conf", options))
        return section()
    known = {" ".join(key): (name, kind) for name, key, kind in fields(section)}
    values: dict[str, Any] = {}
    extra: list[Setting] = []
    for option, value in options.items():
        if option not in known:
            extra += _unknown(str(option), value, _join(place, (str(option),)), problems)
        elif value is not None:
            name, kind = known[option]
            values[name] = kind.take(value, _join(place, (option,)), problems)
    values["extra"] = tuple(extra)
    return section(**values)


def _unknown(option: str, value: Any, place: str, problems: list[str]) -> list[Setting]:
    words = tuple(option.split())
    if not words or not all(WORD.fullmatch(word) for word in words):
        problems.append("%s: a key is words without braces and #" % place)
        return []
    if isinstance(value, Mapping):
        inner = [
            one for key, item in value.items() for one in _unknown(str(key), item, "%s.%s" % (place, key), problems)
        ]
        return [Setting(words[:1], words[1:], tuple(inner))]
    if isinstance(value, list):
        return [one for item in value for one in _unknown(option, item, place, problems)]
    if value is None or value is False:
        return []
    said = () if value is True else tuple(str(value).split())
    if not all(WORD.fullmatch(word) for word in said):
        problems.append("%s: %r has braces or # in it" % (place, value))
        return []
    return [Setting(words[:1], words[1:] + said)]


def check(section: Any, place: str, problems: list[str]) -> None:
    """Says what is wrong with the values of a section, each by itself."""
    for name, key, kind in fields(section):
        kind.check(getattr(section, name), _join(place, key), problems)


def unknown(section: Any, place: str = "") -> list[str]:
    """One sentence for each setting that the model does not know, with the nearest that it does.

    A section's `also` names settings of VPP that it knows of, without their contents.
    """
    known = [" ".join(key) for _, key, _ in fields(section)] + list(section.also)
    found = []
    for one in section.extra:
        if one.key[0] not in section.also:
            near = difflib.get_close_matches(one.key[0], known, 1, 0.6)
            hint = "; did you mean %s?" % near[0] if near else ""
            found.append("%s: is not a setting that is known%s" % (_join(place, one.key), hint))
    for name, key, kind in fields(section):
        value = getattr(section, name)
        if isinstance(kind, Block):
            found += unknown(value, _join(place, key))
        elif isinstance(kind, Blocks):
            for title, inner in value:
                found += unknown(inner, "%s %s" % (_join(place, key), title))
    return found


def _join(place: str, key: Sequence[str]) -> str:
    return "%s.%s" % (place, " ".join(key)) if place else " ".join(key)

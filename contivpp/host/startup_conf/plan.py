"""What has to change in a startup.conf so that it says what is wanted; pure, nothing is read or written.

What is wanted is all there is to be of the settings that the model knows. Settings that it does not know, comments and
empty lines keep their places. A file that says what is wanted already is left as it is, to the letter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .model import FORMS, StartupConf, nodes_of, parse, render
from .syntax import Comment, Form, Forms, Node, Setting, flatten, read, write

HEADER = " Settings that Ansible does not know, and comments, stay where they are."


@dataclass(frozen=True)
class Change:
    """One setting: its path, and its value before and after; None where it is not there."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Plan:
    """The new text and what differs; `text` is the old one when nothing does."""

    text: str
    changes: tuple[Change, ...]
    kept: tuple[str, ...]
    """The paths of settings that nobody asked for, and that the model does not know."""


def plan(existing: str | None, wanted: StartupConf) -> Plan:
    """Plans the change from the text of a file, None for none, to what is wanted.

    Raises:
        StartupConfError: the text cannot be read, or what is wanted cannot be had.
    """
    render(wanted)  # says what is wrong with it
    new = nodes_of(wanted)
    if existing is None:
        changes = tuple(Change(path, None, value) for path, value in sorted(flatten(new).items()))
        return Plan(write((Comment(HEADER), *new)), changes, ())
    old = _united(read(existing, FORMS))
    merged = _merged(old, new, FORMS)
    before, after = flatten(old), flatten(merged)
    changes = tuple(
        Change(path, before.get(path), after.get(path))
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    )
    kept = tuple(sorted(path for path in after if path not in flatten(new)))
    if not changes:
        return Plan(existing, (), kept)
    text = write(merged)
    parse(text)  # what was kept and what is wanted must go together
    return Plan(text, changes, kept)


def changes(before: str | None, after: str | None) -> tuple[Change, ...]:
    """What differs between two files, by setting; None is no file.

    Raises:
        StartupConfError: one of them cannot be read.
    """
    old, new = ({} if text is None else flatten(_united(read(text, FORMS))) for text in (before, after))
    return tuple(
        Change(path, old.get(path), new.get(path)) for path in sorted({*old, *new}) if old.get(path) != new.get(path)
    )


def _united(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """What is known, in one place for each identity, as VPP takes it: blocks add up, and the last word counts."""
    place: dict[tuple[str, ...], int] = {}
    found: list[Node] = []
    for node in nodes:
        if isinstance(node, Comment) or not node.known:
            found.append(node)
            continue
        if node.block is not None:
            node = replace(node, block=_united(node.block))  # noqa: PLW2901
        if node.identity not in place:
            place[node.identity] = len(found)
            found.append(node)
            continue
        first = found[place[node.identity]]
        assert isinstance(first, Setting)
        both = (first.block or ()) + (node.block or ()) if first.block is not None or node.block is not None else None
        found[place[node.identity]] = replace(first, values=node.values, block=None if both is None else _united(both))
    return tuple(found)


def _merged(old: tuple[Node, ...], new: tuple[Node, ...], forms: Forms) -> tuple[Node, ...]:
    settings = [node for node in new if isinstance(node, Setting)]
    wanted = {one.identity: one for one in settings if one.known}
    # Whether an unknown setting may stand there twice nobody knows: all with a wanted key give way to those wanted.
    unknown = {one.key for one in settings if not one.known}
    found: list[Node] = []
    for node in old:
        if isinstance(node, Comment):
            found.append(node)
        elif not node.known:
            if node.key not in unknown:
                found.append(node)
        else:
            left = _changed(node, wanted.get(node.identity), forms.get(node.key, Form(0)))
            if left is not None:
                found.append(left)
    last: tuple[str, ...] | None = None
    for one in settings:
        there = {node.identity for node in found if isinstance(node, Setting) and node.known}
        if not one.known or one.identity not in there:
            found.insert(_place_behind(found, last), one)
        last = one.identity if one.known else None
    return tuple(found)


def _changed(node: Setting, wanted: Setting | None, form: Form) -> Setting | None:
    """A setting of the file as it is to be; None when it is to go."""
    if wanted is not None:
        block = wanted.block
        if node.block is not None or wanted.block is not None:
            block = _merged(node.block or (), wanted.block or (), form.block or {}) or None
        return replace(node, values=wanted.values, block=block)
    if node.named or node.block is None:
        return None
    left = _merged(node.block, (), form.block or {})
    return replace(node, block=left) if any(isinstance(one, Setting) for one in left) else None


def _place_behind(nodes: list[Node], identity: tuple[str, ...] | None) -> int:
    """Behind the setting that comes before in the model, so that what belongs together stands together; else last."""
    if identity is not None:
        for number, node in enumerate(nodes):
            if isinstance(node, Setting) and node.known and node.identity == identity:
                return number + 1
    return len(nodes)

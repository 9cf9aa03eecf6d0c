"""The text of VPP's startup.conf as a tree, and back.

VPP reads words: line ends mean nothing to it, `#` starts a comment anywhere, braces enclose the settings of a block.
So where a setting ends only its form says. Known settings are read by theirs, however many stand on a line; an
unknown one takes the rest of its line and the block behind it. Comments and empty lines are nodes of the tree: they
keep their place when the file is written again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping, NamedTuple, Tuple, Union

INDENT = "  "
_TOKEN = re.compile(r"(?P<end>\n)|#(?P<comment>[^\n]*)|(?P<brace>[{}])|(?P<word>[^\s{}#]+)")
_MAX_INLINE = 1


class StartupConfError(Exception):
    """A startup.conf, or a wish for one, that cannot be used; `problems` has a sentence for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Comment:
    """A comment on a line of its own, without its `#`; an empty line when `text` is None."""

    text: str | None


@dataclass(frozen=True)
class Setting:
    """A setting: the words of its key, those of its value, and the block behind them, if any.

    `named` tells that the value is the name of a block, of which there may be several under one key.
    """

    key: tuple[str, ...]
    values: tuple[str, ...] = ()
    block: tuple[Node, ...] | None = None
    comment: str | None = None
    known: bool = False
    named: bool = False

    @property
    def identity(self) -> tuple[str, ...]:
        """What two settings share when they say the same thing, and only one of them can count."""
        return self.key + (self.values if self.named else ())


Node = Union[Comment, Setting]


class Form(NamedTuple):
    """How a known setting looks: how many words of value, the forms in its block, and whether it has many blocks."""

    values: int
    block: Mapping[tuple[str, ...], Form] | None = None
    named: bool = False


Forms = Mapping[Tuple[str, ...], Form]


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[_Token] = []
        line = 1
        for match in _TOKEN.finditer(text.replace("\r", "\n")):
            kind = str(match.lastgroup)
            self._tokens.append(_Token(kind, match.group(kind), line))
            line += kind == "end"
        self._place = 0

    def peek(self, ahead: int = 0) -> _Token | None:
        place = self._place + ahead
        return self._tokens[place] if place < len(self._tokens) else None

    def take(self) -> _Token | None:
        token = self.peek()
        self._place += 1
        return token

    def nodes(self, forms: Forms, opened: _Token | None) -> tuple[Node, ...]:
        found: list[Node] = []
        fresh = opened is None  # whether nothing stands on this line yet
        while True:
            token = self.take()
            if token is None:
                if opened is not None:
                    raise StartupConfError(["line %d: the block that begins here is not closed" % opened.line])
                return tuple(found)
            if token.kind == "brace":
                if token.text == "{":
                    raise StartupConfError(["line %d: a block has no name" % token.line])
                if opened is None:
                    raise StartupConfError(["line %d: a block is closed that was not opened" % token.line])
                return tuple(found)
            if token.kind == "end":
                if fresh and opened is None:
                    found.append(Comment(None))
                fresh = True
            elif token.kind == "comment":
                last = found[-1] if found else None
                if not fresh and isinstance(last, Setting) and last.comment is None:
                    found[-1] = _with(last, comment=token.text)
                else:
                    found.append(Comment(token.text))
                fresh = False
            else:
                self._place -= 1
                found.append(self._setting(forms))
                fresh = False

    def _setting(self, forms: Forms) -> Setting:
        form, key = self._form(forms)
        if form is None:
            words = self._rest_of_line()
            return Setting(words[:1], words[1:], self._block({}))
        first = self.peek()
        self._place += len(key)
        values = tuple(self._value(key, first) for _ in range(form.values))
        block = self._block(form.block or {})
        if block is not None and form.block is None:
            return Setting(key[:1], key[1:] + values, block)  # not as it is known: not ours to change
        return Setting(key, values, block, known=True, named=form.named)

    def _form(self, forms: Forms) -> tuple[Form | None, tuple[str, ...]]:
        """The form with the longest key that stands here."""
        words: list[str] = []
        best: tuple[Form | None, tuple[str, ...]] = (None, ())
        for ahead in range(3):
            token = self.peek(ahead)
            if token is None or token.kind != "word":
                break
            words.append(token.text)
            if tuple(words) in forms:
                best = (forms[tuple(words)], tuple(words))
        return best

    def _rest_of_line(self) -> tuple[str, ...]:
        words: list[str] = []
        token = self.peek()
        while token is not None and token.kind == "word":
            words.append(token.text)
            self._place += 1
            token = self.peek()
        return tuple(words)

    def _value(self, key: tuple[str, ...], first: _Token | None) -> str:
        self._skip_to_word_or_brace()
        token = self.take()
        if token is None or token.kind != "word":
            line = first.line if first is not None else 0
            raise StartupConfError(["line %d: %s has no value" % (line, " ".join(key))])
        return token.text

    def _block(self, forms: Forms) -> tuple[Node, ...] | None:
        before = self._place
        comments = self._skip_to_word_or_brace()
        token = self.peek()
        if token is None or token.text != "{" or token.kind != "brace":
            self._place = before
            return None
        self._place += 1
        return comments + self.nodes(forms, token)

    def _skip_to_word_or_brace(self) -> tuple[Node, ...]:
        comments: list[Node] = []
        token = self.peek()
        while token is not None and token.kind in ("end", "comment"):
            if token.kind == "comment":
                comments.append(Comment(token.text))
            self._place += 1
            token = self.peek()
        return tuple(comments)


def _with(setting: Setting, comment: str) -> Setting:
    return Setting(setting.key, setting.values, setting.block, comment, setting.known, setting.named)


def read(text: str, forms: Forms) -> tuple[Node, ...]:
    """Reads a file.

    Raises:
        StartupConfError: braces do not match, or a known setting has no value; with the line's number.
    """
    nodes = list(_Reader(text).nodes(forms, None))
    while nodes and nodes[-1] == Comment(None):
        nodes.pop()
    return tuple(nodes)


def write(nodes: tuple[Node, ...]) -> str:
    """The text of a file: a setting a line, blocks indented, what is short on one line."""
    return "".join(line + "\n" for line in _lines(nodes, ""))


def _lines(nodes: tuple[Node, ...], indent: str) -> list[str]:
    lines: list[str] = []
    for node in nodes:
        if isinstance(node, Comment):
            if node.text is not None:
                lines.append(indent + "#" + node.text.rstrip())
            elif lines and lines[-1]:  # one empty line is enough
                lines.append("")
            continue
        comment = "" if node.comment is None else "  #" + node.comment.rstrip()
        head = indent + " ".join(node.key + node.values)
        if node.block is None:
            lines.append(head + comment)
        elif indent and _is_short(node.block):
            inner = "".join(" ".join(one.key + one.values) + " " for one in node.block if isinstance(one, Setting))
            lines.append(head + " { " + inner + "}" + comment)
        else:
            lines += [head + " {", *_lines(node.block, indent + INDENT), indent + "}" + comment]
    return lines


def _is_short(block: tuple[Node, ...]) -> bool:
    return len(block) <= _MAX_INLINE and all(
        isinstance(node, Setting) and node.block is None and node.comment is None for node in block
    )


def flatten(nodes: tuple[Node, ...], path: str = "") -> dict[str, str]:
    """Every setting by its path: blocks joined with dots, "set" for a setting without a value.

    What may stand several times under one key has its values joined with ", ".
    """
    found: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, Comment):
            continue
        if node.block is None and not node.named:
            name = path + " ".join(node.key)
            value = " ".join(node.values) or "set"
            found[name] = "%s, %s" % (found[name], value) if name in found else value
            continue
        name = path + " ".join(node.key + node.values)
        inner = flatten(node.block or (), name + ".")
        if inner:
            found.update(inner)
        elif node.named or not node.known:
            found[name] = "set"
    return found

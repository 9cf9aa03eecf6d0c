"""What a command found, as data: rows, problems, and whether all is well. `render` knows how it looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from contivpp.netctl.errors import ExitCode


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its header and the text of a row's cell; left out when no row has any."""

    header: str
    text: Callable[[Any], str]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to be shown under a title."""

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a command.

    Attributes:
        data: what -o json and -o yaml show: dataclasses, mappings, lists.
        tables: what -o table shows.
        problems: what is wrong, one sentence each, with what to do about it.
        summary: a last line when all is well.
        code: how the program ends.
    """

    data: Any
    tables: tuple[Table, ...]
    problems: tuple[str, ...] = field(default=())
    summary: str = ""
    code: ExitCode = ExitCode.GOOD


def exit_code(good: bool) -> ExitCode:
    """The exit code of a command that could answer."""
    return ExitCode.GOOD if good else ExitCode.SOMETHING_WRONG

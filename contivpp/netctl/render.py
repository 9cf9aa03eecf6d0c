"""Reports as tables for people, as JSON and YAML for programs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec
import rich.table
import yaml
from rich.console import Console
from rich.text import Text

from contivpp.netctl.report import Report, Table

_UNLIMITED: Final = 100_000
_STYLES: Final[Mapping[str, str]] = {
    "OK": "green",
    "yes": "green",
    "leader": "green",
    "ERROR": "bold red",
    "UNREACHABLE": "bold red",
    "UNAVAILABLE": "bold red",
    "LOST": "bold red",
    "no": "bold red",
    "INIT": "yellow",
    "NO-ID": "yellow",
}


class Output(StrEnum):
    """The forms of a report."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def show(report: Report, output: Output, *, out: Console, err: Console) -> None:
    """Prints a report; problems of a table go to standard error, where they do not disturb a pipe."""
    if output is not Output.TABLE:
        out.print(document(report, output), end="", markup=False, highlight=False, soft_wrap=True)
        return
    for number, table in enumerate(report.tables):
        if number:
            out.print()
        _show_table(table, out)
    if report.problems:
        if report.tables:
            out.print()
        for problem in report.problems:
            err.print(Text.assemble(("! ", "bold red"), problem), soft_wrap=True)
    elif report.summary:
        out.print(Text(report.summary), soft_wrap=True)


def document(report: Report, output: Output) -> str:
    """The report for programs: the data and the problems."""
    tree = msgspec.to_builtins({**_mapping(report.data), "problems": list(report.problems)})
    if output is Output.YAML:
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    return msgspec.json.format(msgspec.json.encode(tree), indent=2).decode() + "\n"


def consoles() -> tuple[Console, Console]:
    """Standard output and standard error; a pipe has no width, so that no cell is ever cut or wrapped."""
    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    for console in (out, err):
        if not console.is_terminal:
            console.width = _UNLIMITED
    return out, err


def _show_table(table: Table, out: Console) -> None:
    if table.title:
        out.print(Text(table.title, style="bold"), soft_wrap=True)
        out.print(Text("-" * len(table.title)))
    cells = [[column.text(row) for column in table.columns] for row in table.rows]
    shown = [
        index for index, column in enumerate(table.columns) if not column.optional or any(line[index] for line in cells)
    ]
    grid = rich.table.Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for index in shown:
        grid.add_column(table.columns[index].header, overflow="fold")
    for line in cells:
        grid.add_row(*(Text(line[index], style=_STYLES.get(line[index], "")) for index in shown))
    out.print(grid)


def _mapping(data: Any) -> dict[str, Any]:
    tree = msgspec.to_builtins(data)
    if not isinstance(tree, dict):
        raise TypeError(f"a report's data is a mapping or a record, not {type(data).__name__}")
    return tree

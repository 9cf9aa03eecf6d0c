"""A contract as a file, in one form only: for the same content the same text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from contivpp.dataplane.vpp.contract.model import Contract, Exchange, Type, details_of, joined, parse

_WIDTH: Final = 120


def write(file: Path, contract: Contract, others: Contract) -> None:
    """Adds a contract to a file, without the types that other files have already; its first comment stays."""
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    head = "\n".join(line for line in before.splitlines()[:20] if line.startswith("#"))
    whole = joined([parse(before, file.name), contract])
    types = {name: kind for name, kind in whole.types.items() if not _has(others.types.get(name), kind)}
    file.write_text(rendered(Contract(whole.exchanges, whole.events, types), head), encoding="utf-8")


def rendered(contract: Contract, head: str = "") -> str:
    """The text of a file."""
    parts = [head] if head else []
    parts += [_message(name, one) for name, one in sorted(contract.exchanges.items())]
    parts += [_section("event", name, fields) for name, fields in sorted(contract.events.items())]
    parts += [_type(name, one) for name, one in sorted(contract.types.items())]
    return "\n\n".join(parts) + "\n"


def _has(there: Type | None, kind: Type) -> bool:
    if there is None or (there.kind, there.base) != (kind.kind, kind.base):
        return False
    return kind.fields.items() <= there.fields.items() and kind.values.items() <= there.values.items()


def _message(name: str, exchange: Exchange) -> str:
    lines = [f"[message.{name}]"]
    if exchange.request:
        lines += _part("request", exchange.request)
    if exchange.reply or (exchange.reply is not None and exchange.details is not None):
        lines += _part("reply", exchange.reply)
    if exchange.reply is not None and exchange.reply_name != f"{name}_reply":
        lines.append(f'reply_name = "{exchange.reply_name}"')
    if exchange.details is not None:
        lines += _part("details", exchange.details)
        if exchange.details_name != details_of(name):
            lines.append(f'details_name = "{exchange.details_name}"')
    return "\n".join(lines)


def _type(name: str, kind: Type) -> str:
    lines = [f"[type.{name}]"]
    if kind.kind in ("struct", "union"):
        lines += _part(kind.kind, kind.fields)
    else:
        lines.append(f'{kind.kind} = "{kind.base}"')
    if kind.values:
        lines += _part("values", kind.values)
    return "\n".join(lines)


def _section(group: str, name: str, fields: Mapping[str, Any]) -> str:
    return "\n".join([f"[{group}.{name}]", *(f"{field} = {_value(value)}" for field, value in fields.items())])


def _part(name: str, content: Mapping[str, Any]) -> list[str]:
    """On one line, or on a line for each field when that is too long."""
    line = f"{name} = {{ {', '.join(f'{key} = {_value(value)}' for key, value in content.items())} }}"
    if len(line) <= _WIDTH:
        return [line if content else f"{name} = {{}}"]
    return [f"{name}.{key} = {_value(value)}" for key, value in content.items()]


def _value(value: Any) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'

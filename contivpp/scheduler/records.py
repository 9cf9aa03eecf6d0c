"""Transactions and revisions as people and tools read them. Shapes: spec/agent.md 14.6."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from contivpp.scheduler.api import OperationKind
from contivpp.scheduler.graph import Graph, Node
from contivpp.scheduler.history import RecordedOperation, Transaction
from contivpp.scheduler.state import ValueState
from contivpp.scheduler.timeline import Revision

_WAITING = (ValueState.PENDING, ValueState.INVALID, ValueState.UNIMPLEMENTED)


def waiting_operations(before: Mapping[str, Node | None], graph: Graph) -> list[RecordedOperation]:
    """What a transaction wanted and nothing could be done for, sorted by key; only what is news."""
    result = []
    for key in sorted(before):
        old, new = before[key], graph.nodes.get(key)
        if new is None or new.state not in _WAITING:
            continue
        if old is not None and old.state is new.state and old.desired == new.desired:
            continue
        missing = ", ".join(graph.missing(new))
        result.append(
            RecordedOperation(
                operation=OperationKind.CREATE,
                key=key,
                new_value=new.desired,
                prev_state=str(old.state) if old is not None else "",
                new_state=str(new.state),
                new_err_msg=new.error or (f"waits for: {missing}" if missing else ""),
                noop=True,
                is_derived=bool(new.base),
            )
        )
    return result


def transaction(record: Transaction) -> dict[str, Any]:
    """One transaction for JSON; fields that say nothing are left out."""
    result = {
        "SeqNum": record.seq,
        "TxnType": record.kind,
        "ResyncType": record.resync,
        "Description": record.description,
        "Start": moment(record.start),
        "Stop": moment(record.stop),
        "WithSimulation": record.planned is not None,
        "Values": [
            {"Key": key, "Value": value, "Origin": "SB" if record.kind == "SBNotification" else "NB"}
            for key, value in sorted(record.values.items())
        ],
        "Planned": record.planned,
        "Executed": record.executed,
        "Errors": record.errors,
        "Reverted": record.reverted,
    }
    return {name: value for name, value in result.items() if value not in (None, "", [], {}, False)}


def text(records: Iterable[Transaction]) -> str:
    """Transactions for reading."""
    lines: list[str] = []
    for record in records:
        ending = "reverted" if record.reverted else "failed" if record.errors else "done"
        took = (record.stop - record.start) * 1000
        lines.append(f"#{record.seq} {moment(record.start)} {record.resync or record.kind}: {ending}, {took:.1f} ms")
        lines += [f"  {line}" for line in record.description.splitlines()]
        lines += [f"  planned  {_line(one)}" for one in record.planned or ()]
        lines += [f"  {'undone  ' if one.is_revert else 'executed'} {_line(one)}" for one in record.executed]
        lines += [f"  error    {key}: {error}" for key, error in record.errors.items()]
    return "".join(f"{line}\n" for line in lines)


def revision(one: Revision) -> dict[str, Any]:
    """One revision for JSON, with the original's flags."""
    flags: dict[str, Any] = {
        "value-state": str(one.state),
        "last-update": {"TxnSeqNum": one.transaction, "TxnOp": one.last_operation},
    }
    if one.descriptor:
        flags["descriptor"] = one.descriptor
    if one.base:
        flags["derived"] = one.base
    if not one.available:
        flags["unavailable"] = True
    if one.error:
        flags["error"] = one.error
    return {
        "Key": one.key,
        "Since": moment(one.since),
        "Until": moment(one.until) if one.until else None,
        "Value": one.value,
        "Metadata": dict(one.metadata),
        "Flags": flags,
        "Targets": [{"Label": need.label, "Key": need.key, "AnyOf": list(need.any_of)} for need in one.needs],
    }


def flag_counts(revisions: Iterable[Mapping[str, Any]], flag: str) -> dict[str, Any]:
    """How often each value of a flag occurs in revisions as `revision` gives them."""
    counts: dict[str, int] = {}
    for one in revisions:
        if flag in one["Flags"]:
            value = one["Flags"][flag]
            name = value["TxnOp"] if isinstance(value, dict) else str(value)
            counts[name] = counts.get(name, 0) + 1
    return {"TotalCount": sum(counts.values()), "PerValueCount": dict(sorted(counts.items()))}


def moment(seconds: float) -> str:
    """A time as the original writes it: RFC 3339 in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="microseconds")


def _line(one: RecordedOperation) -> str:
    words = [str(one.operation), one.key]
    if one.noop:
        words.append("(nothing done)")
    if one.new_state:
        words.append(f"-> {one.new_state}")
    if one.is_recreate:
        words.append("(re-create)")
    if one.new_err_msg:
        words.append(f": {one.new_err_msg}")
    return " ".join(words)

"""Plans and ends of runs as reports: rows, problems, exit codes; never the looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from contivpp.netctl.deployment.effects import Effect, Level, effects, worst
from contivpp.netctl.deployment.plan import Change, Failure, Kind, changes, failures
from contivpp.netctl.deployment.runs import Outcome
from contivpp.netctl.errors import ExitCode
from contivpp.netctl.report import Column, Report, Table

_NOBODY: Final = (
    "no host was found: see that the inventory (-i) is there and has the groups contivpp, contivpp_nodes, contivpp_etcd"
    " and contivpp_control_plane"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would change, and what packets notice of it, on which hosts."""

    changes: Sequence[Change] = field(default_factory=tuple)
    effects: Sequence[Effect] = field(default_factory=tuple)
    packets: str = Level.NONE.text
    unchanged: Sequence[str] = field(default_factory=tuple)
    failures: Sequence[Failure] = field(default_factory=tuple)
    artifacts: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """What a run did on a host, in tasks, and how it ended."""

    host: str
    state: str
    ok: int = 0
    changed: int = 0
    failed: int = 0
    rescued: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a run ended."""

    status: str
    hosts: Sequence[HostRow] = field(default_factory=tuple)
    changes: Sequence[Change] = field(default_factory=tuple)
    failures: Sequence[Failure] = field(default_factory=tuple)
    artifacts: str = ""


@dataclass(frozen=True, slots=True)
class _Row:
    """One change, on all hosts that it is the same on."""

    hosts: str
    change: Change


def plan(outcome: Outcome, *, goal: str = "deploy") -> Report:
    """The plan that a run in check mode found; `goal` is the command that would do it."""
    found, bad = changes(outcome.ended), failures(outcome.ended)
    noticed = effects(found)
    touched = {change.host for change in found}
    data = Plan(
        changes=found,
        effects=noticed,
        packets=worst(noticed).text,
        unchanged=sorted(set(outcome.hosts) - touched - {"localhost"}),
        failures=bad,
        artifacts=str(outcome.artifacts),
    )
    problems = _problems(outcome, bad)
    code = _code(outcome) if problems else ExitCode.CHANGES if found else ExitCode.GOOD
    tables = [
        Table(title, columns, rows)
        for kinds, title, columns in _SECTIONS
        if (rows := _rows([change for change in found if change.kind in kinds]))
    ]
    if noticed:
        tables.append(Table("What packets notice", _EFFECTS, noticed))
    summary = (
        f"{len(found)} changes on {len(touched)} of {len(set(outcome.hosts) | touched)} hosts; packets notice:"
        f" {data.packets}. contiv-netctl {goal} does it."
        if found
        else ""
        if outcome.nowhere
        else f"Nothing would change on {len(outcome.hosts)} hosts."
    )
    return Report(data=data, tables=tuple(tables), problems=problems, summary=summary, code=code)


def run(outcome: Outcome, *, done: str) -> Report:
    """How a run ended that was to change something; `done` says what is so when it is good."""
    bad = failures(outcome.ended)
    rows = [
        HostRow(
            host=host,
            state="unreachable" if counts.unreachable else "failed" if counts.failed else "OK",
            ok=counts.ok,
            changed=counts.changed,
            failed=counts.failed,
            rescued=counts.rescued,
        )
        for host, counts in sorted(outcome.hosts.items())
    ]
    data = Run(
        status=outcome.status,
        hosts=rows,
        changes=changes(outcome.ended),
        failures=bad,
        artifacts=str(outcome.artifacts),
    )
    problems = _problems(outcome, bad)
    return Report(
        data=data,
        tables=(Table("", _HOSTS, rows),) if rows else (),
        problems=problems,
        summary="" if outcome.nowhere else f"{done} All that was said is in {outcome.artifacts}.",
        code=_code(outcome),
    )


def _problems(outcome: Outcome, bad: Sequence[Failure]) -> tuple[str, ...]:
    if outcome.status == "canceled":
        return ("it was interrupted: the same command again goes on where it was", *_sentences(bad))
    if outcome.nowhere:
        return (_NOBODY, f"all that was said is in {outcome.artifacts}")
    if outcome.good:
        return ()
    said = _sentences(bad) or ([outcome.output] if outcome.output else [f"Ansible ended with {outcome.status}"])
    return (*said, f"all that was said is in {outcome.artifacts}")


def _sentences(bad: Sequence[Failure]) -> list[str]:
    """One per failure; what many hosts say alike is said once."""
    hosts: dict[tuple[str, str], list[str]] = {}
    for failure in bad:
        hosts.setdefault((failure.task, failure.message), []).append(failure.host)
    return [f"{', '.join(names)}: {task}: {message}" for (task, message), names in hosts.items()]


def _code(outcome: Outcome) -> ExitCode:
    if outcome.status == "canceled":
        return ExitCode.INTERRUPTED
    if outcome.good and not outcome.nowhere:
        return ExitCode.GOOD
    return ExitCode.SOMETHING_WRONG if outcome.ended else ExitCode.USAGE


def _rows(found: Sequence[Change]) -> list[_Row]:
    hosts: dict[tuple[str, ...], list[Change]] = {}
    for change in found:
        key = (change.kind, change.subject, change.what, change.before, change.after, change.reason)
        hosts.setdefault(key, []).append(change)
    return [_Row(", ".join(sorted({one.host for one in same})), same[0]) for same in hosts.values()]


_HOSTS_COLUMN: Final = Column("HOSTS", lambda row: row.hosts)
_SECTIONS: Final = (
    (
        (Kind.SOFTWARE,),
        "Software",
        (
            _HOSTS_COLUMN,
            Column("PACKAGE", lambda row: row.change.subject),
            Column("WHAT", lambda row: row.change.what),
            Column("NOW", lambda row: row.change.before),
            Column("THEN", lambda row: row.change.after),
        ),
    ),
    (
        (Kind.NIC,),
        "NICs",
        (
            _HOSTS_COLUMN,
            Column("NIC", lambda row: row.change.subject),
            Column("WHAT", lambda row: row.change.what),
            Column("NOW", lambda row: row.change.before, optional=True),
            Column("THEN", lambda row: row.change.after, optional=True),
        ),
    ),
    (
        (Kind.SETTING,),
        "Settings",
        (
            _HOSTS_COLUMN,
            Column("FILE", lambda row: row.change.subject),
            Column("SETTING", lambda row: row.change.what),
            Column("NOW", lambda row: row.change.before or "-"),
            Column("THEN", lambda row: row.change.after or "-"),
        ),
    ),
    (
        (Kind.FILE, Kind.OTHER),
        "Files and other things",
        (
            _HOSTS_COLUMN,
            Column("WHAT", lambda row: row.change.subject),
            Column("HOW", lambda row: row.change.what),
        ),
    ),
    (
        (Kind.SERVICE,),
        "Services",
        (
            _HOSTS_COLUMN,
            Column("SERVICE", lambda row: row.change.subject),
            Column("WHAT", lambda row: row.change.what),
            Column("BECAUSE OF", lambda row: row.change.reason, optional=True),
        ),
    ),
)
_EFFECTS: Final = (
    Column("HOST", lambda row: row.host),
    Column("PACKETS", lambda row: row.level.text),
    Column("BECAUSE", lambda row: row.because),
)
_HOSTS: Final = (
    Column("HOST", lambda row: row.host),
    Column("STATE", lambda row: row.state),
    Column("TASKS", lambda row: str(row.ok)),
    Column("CHANGED", lambda row: str(row.changed)),
    Column("FAILED", lambda row: str(row.failed)),
    Column("PUT BACK", lambda row: str(row.rescued) if row.rescued else "", optional=True),
)

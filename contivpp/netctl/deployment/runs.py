"""One run of a playbook through ansible-runner: what it needs, what it tells while it goes on, and what stays of it.

Every run has a folder of its own with ansible-runner's artifacts in it, which only its owner may read: diffs hold what
configurations hold. The newest are kept. Nothing here is printed.
"""

from __future__ import annotations

import datetime as dt
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from contivpp.netctl.deployment.events import Event, HostCounts, RunEnded, TaskEnded, read
from contivpp.netctl.errors import UsageError

PROJECT_VARIABLE: Final = "CONTIV_PROJECT"
KEPT: Final = 20
_FOLDER: Final = "contiv-netctl/runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be run.

    Attributes:
        project: the checkout with the playbooks.
        playbook: relative to it.
        inventories: that are laid over each other; Ansible's default when empty.
        limit: the hosts, as ansible-playbook takes them; "" for all.
        tags: those tasks only; all when empty.
        variables: as -e takes them.
        check: whether to change nothing and say what would be.
    """

    project: Path
    playbook: str
    inventories: Sequence[str] = ()
    limit: str = ""
    tags: Sequence[str] = ()
    variables: Sequence[str] = ()
    check: bool = False

    @property
    def command_line(self) -> str:
        """What ansible-playbook gets besides the playbook."""
        words = [word for inventory in self.inventories for word in ("-i", str(Path(inventory).absolute()))]
        words += ["--limit", self.limit] if self.limit else []
        words += ["--tags", ",".join(self.tags)] if self.tags else []
        words += [word for variable in self.variables for word in ("-e", variable)]
        words += ["--check", "--diff"] if self.check else ["--diff"]
        return shlex.join(words)


@dataclass(slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: of ansible-runner: successful, failed, canceled, timeout.
        ended: every task on every host, as it ended.
        hosts: counts; empty when the run did not come to its end.
        artifacts: the folder that holds all that was said.
        output: the end of what Ansible itself printed, for a run that never began.
    """

    status: str
    artifacts: Path
    ended: list[TaskEnded] = field(default_factory=list)
    hosts: Mapping[str, HostCounts] = field(default_factory=dict)
    output: str = ""

    @property
    def good(self) -> bool:
        """Whether all was done on all hosts."""
        return self.status == "successful"

    @property
    def nowhere(self) -> bool:
        """Whether there was no host to do it on: Ansible calls that a success, as with an inventory of another name."""
        return self.good and not self.hosts and not self.ended


class Runner(Protocol):
    """What of ansible-runner's `run` is used."""

    def __call__(self, **arguments: Any) -> Any:
        """Runs a playbook to its end; the answer has `status` and `stdout`."""


def find_project(given: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The checkout with the playbooks: the one that is named, the one around here, or the one that this is part of.

    Raises:
        UsageError: there is none.
    """
    named = given or (Path(environment[PROJECT_VARIABLE]) if environment.get(PROJECT_VARIABLE) else None)
    here = Path.cwd()
    places = [named] if named else [here, *here.parents, Path(__file__).resolve().parents[3]]
    for place in places:
        if (place / "site.yml").is_file() and (place / "roles").is_dir():
            return place.absolute()
    where = f"{named} is none" if named else "there is none here"
    raise UsageError(f"a checkout with site.yml is needed, and {where}: name it with --project or {PROJECT_VARIABLE}")


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where runs are kept."""
    base = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(base) / _FOLDER


def run(
    request: Request,
    on_event: Callable[[Event], None],
    *,
    runs: Path | None = None,
    runner: Runner | None = None,
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(tz=dt.UTC),
) -> Outcome:
    """Runs a playbook to its end and tells of it as it goes on.

    Args:
        request: what to run.
        on_event: is called for every event, from this thread.
        runs: the folder of all runs; by default that of the user.
        runner: ansible-runner's `run`.
        now: the time, which names the run's folder.

    Raises:
        UsageError: the run's folder cannot be made.
    """
    folder = _make_folder(runs or state_folder(), f"{now():%Y%m%dT%H%M%S.%f}-{Path(request.playbook).stem}")
    outcome = Outcome(status="failed", artifacts=folder)

    def take(event: Mapping[str, Any]) -> bool:
        known = read(event)
        if isinstance(known, TaskEnded):
            outcome.ended.append(known)
        if isinstance(known, RunEnded):
            outcome.hosts = known.hosts
        if known is not None:
            on_event(known)
        return True

    answer = (runner or _ansible_runner())(
        private_data_dir=str(folder),
        project_dir=str(request.project),
        playbook=request.playbook,
        cmdline=request.command_line,
        envvars=_environment(request.project),
        event_handler=take,
        quiet=True,
    )
    outcome.status = str(answer.status)
    if not outcome.ended and not outcome.good:
        with answer.stdout as said:
            outcome.output = said.read().strip()
    return outcome


def _ansible_runner() -> Runner:
    try:
        import ansible_runner  # noqa: PLC0415 - it takes longer to import than all other commands need
    except ImportError as error:
        raise UsageError("ansible-runner is not installed here: run this on the controller, after make venv") from error
    runner: Runner = ansible_runner.run
    return runner


def _environment(project: Path) -> dict[str, str]:
    """Ansible of this very installation, with the checkout's configuration."""
    programs = str(Path(sys.executable).parent)
    return {
        "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_CONFIG": os.environ.get("ANSIBLE_CONFIG") or str(project / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
    }


def _make_folder(runs: Path, name: str) -> Path:
    folder = runs / name
    try:
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        older = sorted(path for path in runs.iterdir() if path.is_dir())
        for path in older[: max(len(older) - KEPT + 1, 0)]:
            shutil.rmtree(path, ignore_errors=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise UsageError(f"{runs} cannot be made ({error.strerror}): name another folder with --artifacts") from error
    return folder

"""`contiv-netctl deploy`, `plan`, `upgrade`, `reconfigure` and `reset`: options, questions, exit codes.

Each is a playbook and can be run with ansible-playbook alone; here it has a plan before and progress while it goes on.
Exit codes: 0 done, or nothing to do; 1 a host failed; 2 usage; 4 a plan found something to do; 5 it was not wanted;
130 it was interrupted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from contivpp.netctl import render
from contivpp.netctl.deployment import views
from contivpp.netctl.deployment.progress import Progress
from contivpp.netctl.deployment.runs import PROJECT_VARIABLE, Outcome, Request, find_project, run
from contivpp.netctl.errors import ExitCode, NetctlError, NotWantedError
from contivpp.netctl.render import Output
from contivpp.netctl.report import Report

InventoryOption = Annotated[
    list[str] | None,
    typer.Option("--inventory", "-i", metavar="PATH", help="May be repeated; ansible.cfg says which when left out."),
]
LimitOption = Annotated[str, typer.Option("--limit", "-l", metavar="HOSTS", help="Those hosts only.")]
VariableOption = Annotated[
    list[str] | None, typer.Option("--extra-vars", "-e", metavar="NAME=VALUE", help="As ansible-playbook takes it.")
]
ProjectOption = Annotated[
    Path | None,
    typer.Option("--project", envvar=PROJECT_VARIABLE, help="The checkout with site.yml.", show_default=False),
]
ArtifactsOption = Annotated[
    Path | None, typer.Option("--artifacts", help="Where runs are kept.", show_default="~/.local/state/contiv-netctl")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="The form of the answer.")]

_RESET: Final = "This takes the network off every host that is named, and the pods' connections with it. Go on?"


@dataclass(frozen=True, slots=True)
class _Command:
    """What all commands share: the request without its playbook, where runs are kept, and the screen."""

    request: Request
    artifacts: Path | None
    output: Output
    out: Console
    err: Console

    def run(self, playbook: str, *, check: bool = False, variables: tuple[str, ...] = ()) -> Outcome:
        given = (*self.request.variables, *variables)
        request = replace(self.request, playbook=playbook, check=check, variables=given)
        with Progress(self.err) as progress:
            return run(request, progress, runs=self.artifacts)

    def planned(self, playbook: str, *, goal: str, variables: tuple[str, ...] = ()) -> Report:
        return views.plan(self.run(playbook, check=True, variables=variables), goal=goal)

    def show(self, report: Report) -> None:
        render.show(report, self.output, out=self.out, err=self.err)

    def end(self, report: Report) -> None:
        self.show(report)
        raise typer.Exit(int(report.code))

    def ask(self, plan: Report, question: str, *, yes: bool) -> None:
        """Shows a plan and asks; with nothing to do, or a plan that failed, it ends here.

        Raises:
            NotWantedError: the answer was no, or nobody is there to give one.
        """
        if plan.code is not ExitCode.CHANGES:
            self.end(plan)
        if yes:
            return
        # The answer that a program reads is that of the run, and not of its plan.
        render.show(plan, Output.TABLE, out=self.err, err=self.err)
        confirm(question)


@contextlib.contextmanager
def _command(
    inventories: list[str] | None,
    limit: str,
    variables: list[str] | None,
    project: Path | None,
    artifacts: Path | None,
    output: Output,
) -> Iterator[_Command]:
    """Reads the options; an error that is meant for the user is printed, and the program ends with its code."""
    out, err = render.consoles()
    try:
        request = Request(
            project=find_project(project),
            playbook="",
            inventories=tuple(inventories or ()),
            limit=limit,
            variables=tuple(variables or ()),
        )
        yield _Command(request, artifacts, output, out, err)
    except NetctlError as error:
        err.print(Text.assemble(("Error: ", "bold red"), str(error)), soft_wrap=True)
        raise typer.Exit(int(error.code)) from None


def confirm(question: str) -> None:
    """Asks on the terminal.

    Raises:
        NotWantedError: the answer was no, or nobody is there to give one.
    """
    try:
        wanted = typer.confirm(question, err=True)
    except typer.Abort:
        wanted = False
    if not wanted:
        raise NotWantedError("nothing was changed: answer yes, or give --yes")


def deploy(
    inventory: InventoryOption = None,
    limit: LimitOption = "",
    extra_vars: VariableOption = None,
    project: ProjectOption = None,
    artifacts: ArtifactsOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Brings the network up, or makes it again what the inventory says (site.yml)."""
    with _command(inventory, limit, extra_vars, project, artifacts, output) as command:
        command.end(views.run(command.run("site.yml"), done="The network is as the inventory says."))


def plan(
    inventory: InventoryOption = None,
    limit: LimitOption = "",
    extra_vars: VariableOption = None,
    project: ProjectOption = None,
    artifacts: ArtifactsOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """What deploy would change, and what packets would notice; changes nothing, and ends with 4 when there is any."""
    with _command(inventory, limit, extra_vars, project, artifacts, output) as command:
        command.end(command.planned("site.yml", goal="deploy"))


def upgrade(
    inventory: InventoryOption = None,
    limit: LimitOption = "",
    extra_vars: VariableOption = None,
    yes: YesOption = False,
    project: ProjectOption = None,
    artifacts: ArtifactsOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Brings what is in the checkout, one node first, and puts back a node where it does not work (upgrade.yml)."""
    with _command(inventory, limit, extra_vars, project, artifacts, output) as command:
        command.ask(command.planned("site.yml", goal="upgrade"), "Upgrade?", yes=yes)
        command.end(views.run(command.run("playbooks/upgrade.yml"), done="Every host is upgraded."))


def reconfigure(
    inventory: InventoryOption = None,
    limit: LimitOption = "",
    extra_vars: VariableOption = None,
    yes: YesOption = False,
    project: ProjectOption = None,
    artifacts: ArtifactsOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Brings changed settings to the hosts and services that they concern (reconfigure.yml)."""
    book = "playbooks/reconfigure.yml"
    with _command(inventory, limit, extra_vars, project, artifacts, output) as command:
        command.ask(command.planned(book, goal="reconfigure"), "Bring these settings?", yes=yes)
        outcome = command.run(book, variables=("reconfigure_confirmed=yes",))
        command.end(views.run(outcome, done="Every host has its settings."))


def reset(
    inventory: InventoryOption = None,
    limit: LimitOption = "",
    extra_vars: VariableOption = None,
    yes: YesOption = False,
    project: ProjectOption = None,
    artifacts: ArtifactsOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Gives every machine back as it was (reset.yml)."""
    with _command(inventory, limit, extra_vars, project, artifacts, output) as command:
        if not yes:
            confirm(_RESET)
        outcome = command.run("playbooks/reset.yml", variables=("reset_confirmed=yes",))
        command.end(views.run(outcome, done="Every host is as it was."))


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    for command in (deploy, plan, upgrade, reconfigure, reset):
        app.command()(command)

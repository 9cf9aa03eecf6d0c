"""`deploy`, `plan` and their like: what ansible-runner tells becomes progress, a plan and an exit code."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from contivpp.netctl.deployment import runs, views
from contivpp.netctl.deployment.effects import Level
from contivpp.netctl.deployment.events import Event, PlayStarted, Status, TaskEnded, read
from contivpp.netctl.deployment.plan import Kind
from contivpp.netctl.deployment.progress import Hosts, Progress
from contivpp.netctl.deployment.runs import Outcome, Request, find_project
from contivpp.netctl.errors import ExitCode, UsageError
from contivpp.netctl.main import app

Data = dict[str, Any]


def ended(host: str, task: str, action: str, res: Data, *, kind: str = "ok", role: str = "", **more: Any) -> Data:
    data = {"host": host, "task": task, "task_action": action, "res": res, "role": role, **more}
    return {"event": f"runner_on_{kind}", "event_data": data}


def stats(**hosts: Data) -> Data:
    names = ("ok", "changed", "failures", "dark", "rescued")
    counts = {name: {host: given[name] for host, given in hosts.items() if name in given} for name in names}
    return {"event": "playbook_on_stats", "event_data": counts}


def files(host: str, path: str, what: str, before: str, after: str) -> Data:
    diff = [{"before_header": path, "after_header": path, "before": before, "after": after}]
    return ended(host, "Tell it", "contivpp_files", {"changed": True, "changes": {path: what}, "diff": diff})


def service(host: str, name: str, actions: list[str], reasons: list[str]) -> Data:
    arguments = {"module_args": {"name": name}}
    res = {"changed": True, "actions": actions, "reasons": reasons, "invocation": arguments}
    return ended(host, "Run it", "contivpp_service", res)


class FakeRunner:
    """Tells the given events, and ends; notes how it was called."""

    def __init__(self, *events: Data, status: str = "successful", output: str = "") -> None:
        self.events, self.status, self.output = events, status, output
        self.calls: list[Data] = []

    def __call__(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        for event in self.events:
            arguments["event_handler"](event)
        return self

    @property
    def stdout(self) -> io.StringIO:
        return io.StringIO(self.output)


def outcome(tmp_path: Path, *events: Data, status: str = "successful", output: str = "") -> Outcome:
    fake = FakeRunner(*events, status=status, output=output)
    request = Request(project=tmp_path, playbook="site.yml", check=True)
    return runs.run(request, lambda event: None, runs=tmp_path / "runs", runner=fake)


# ---- events


def test_a_task_is_named_without_its_role_and_a_changed_one_is_told_from_one_that_is_fine() -> None:
    event = read(
        ended("node1", "agent : Run the agent", "contivpp.x.contivpp_service", {"changed": True}, role="agent")
    )
    assert isinstance(event, TaskEnded)
    assert (event.task, event.action, event.status) == ("Run the agent", "contivpp_service", Status.CHANGED)
    fine = read(ended("node1", "Look", "ansible.builtin.stat", {"changed": False}))
    assert isinstance(fine, TaskEnded) and (fine.action, fine.status) == ("stat", Status.OK)


def test_what_nobody_knows_is_passed_over() -> None:
    assert read({"event": "of_a_later_version", "event_data": {}}) is None
    assert read({}) is None


def test_the_reason_of_a_failure_is_that_of_the_first_item_that_failed() -> None:
    res = {"msg": "One or more items failed", "results": [{"msg": "fine"}, {"failed": True, "msg": "no room"}]}
    event = read(ended("node1", "Copy", "copy", res, kind="failed"))
    assert isinstance(event, TaskEnded) and event.message == "no room"
    silent = read(ended("node1", "Copy", "copy", {}, kind="unreachable"))
    assert isinstance(silent, TaskEnded) and silent.message == "no reason was given"


# ---- the plan


def test_a_changed_setting_is_named_by_its_path_on_all_hosts_that_get_it(tmp_path: Path) -> None:
    then = "mtuSize: 1400\nipamConfig:\n  podSubnetCIDR: 10.1.0.0/16\nnodeConfig:\n- nodeName: node1\n  gateway: 10.0.0.1\n"
    now = then.replace("1400", "1450").replace("10.0.0.1", "10.0.0.254")
    report = views.plan(
        outcome(
            tmp_path,
            files("node1", "/etc/contiv/contiv.conf", "changed", then, now),
            files("node2", "/etc/contiv/contiv.conf", "changed", then, now),
            service("node1", "contiv-agent", ["restart"], ["/etc/contiv/contiv.conf"]),
            stats(node1={"ok": 3}, node2={"ok": 3}, node3={"ok": 2}),
        )
    )
    settings = {
        (change.host, change.what, change.before, change.after)
        for change in report.data.changes
        if change.kind is Kind.SETTING
    }
    assert settings == {
        (host, what, before, after)
        for host in ("node1", "node2")
        for what, before, after in (
            ("mtuSize", "1400", "1450"),
            ("nodeConfig[node1].gateway", "10.0.0.1", "10.0.0.254"),
        )
    }
    table = next(table for table in report.tables if table.title == "Settings")
    assert [column.text(table.rows[0]) for column in table.columns] == [
        "node1, node2", "/etc/contiv/contiv.conf", "mtuSize", "1400", "1450",
    ]  # fmt: skip
    assert report.data.unchanged == ["node3"]
    assert (report.code, report.problems) == (ExitCode.CHANGES, ())


def test_a_restart_says_why_and_what_packets_notice_of_it(tmp_path: Path) -> None:
    report = views.plan(
        outcome(
            tmp_path,
            service("node1", "contiv-agent", ["restart"], ["/opt/contivpp/venv"]),
            service(
                "node1", "contiv-vpp", ["reload", "restart"], ["/etc/contiv/startup.conf", "/opt/contiv-vpp/current"]
            ),
            service("node2", "contiv-ksr", ["restart"], []),
            stats(node1={"ok": 2}, node2={"ok": 1}),
        )
    )
    restarts = {(change.host, change.subject): (change.what, change.reason) for change in report.data.changes}
    assert restarts["node1", "contiv-vpp"] == ("restart", "startup.conf, current")
    levels = [(effect.host, effect.level) for effect in report.data.effects]
    assert levels == [("node1", Level.INTERRUPTED), ("node1", Level.NEW_PODS), ("node2", Level.NONE)]
    assert report.data.packets == "packets are lost"


@pytest.mark.parametrize(
    ("setting", "level"),
    [
        ("ipamConfig:\n  podSubnetCIDR: 10.9.0.0/16", Level.ANEW),
        ("nodeToNodeTransport: nooverlay", Level.INTERRUPTED),
        ("ipNeighborScanInterval: 5", Level.NONE),
        ("somethingOfLater: 5", Level.INTERRUPTED),
    ],
)
def test_settings_have_the_effect_that_is_known_and_none_is_called_harmless_that_is_not(
    tmp_path: Path, setting: str, level: Level
) -> None:
    report = views.plan(outcome(tmp_path, files("n", "/etc/contiv/contiv.conf", "changed", "{}\n", setting + "\n")))
    assert [effect.level for effect in report.data.effects] == [level]


def test_a_file_that_is_new_is_one_line_and_disturbs_nobody(tmp_path: Path) -> None:
    report = views.plan(outcome(tmp_path, files("n", "/etc/contiv/contiv.conf", "created", "", "mtuSize: 1400\n")))
    assert [(change.kind, change.what) for change in report.data.changes] == [(Kind.FILE, "created")]
    assert report.data.effects == []


def test_packages_and_startup_conf_and_what_says_nothing_of_itself_are_in_the_plan(tmp_path: Path) -> None:
    packages = {"changed": True, "before": {"vpp": "1", "old": "3"}, "after": {"vpp": "2", "new": "1"}}
    conf = {"changed": True, "changes": {"cpu.main-core": {"before": None, "after": "1"}}}
    report = views.plan(
        outcome(
            tmp_path,
            ended("n", "Install", "contivpp_packages", packages),
            ended("n", "Tell VPP", "contivpp_startup_conf", conf),
            ended("n", "Carry the keys", "contivpp_files", {"changed": True, "censored": "hidden"}),
            ended("n", "Fine", "command", {"changed": False}),
        )
    )
    assert [
        (change.kind, change.subject, change.what, change.before, change.after) for change in report.data.changes
    ] == [
        (Kind.SOFTWARE, "new", "install", "", "1"),
        (Kind.SOFTWARE, "old", "remove", "3", ""),
        (Kind.SOFTWARE, "vpp", "replace", "1", "2"),
        (Kind.SETTING, "startup.conf", "cpu.main-core", "", "1"),
        (Kind.OTHER, "Carry the keys", "", "", ""),
    ]


def test_a_nic_that_changes_hands_is_no_harmless_thing(tmp_path: Path) -> None:
    def asked(**arguments: object) -> dict[str, object]:
        return {"changed": True, "invocation": {"module_args": arguments}}

    link = {"eth1": {"addresses": ["10.9.0.5/24"], "routes": []}}
    kernel, vfio = {"driver": "e1000e", "links": link}, {"driver": "vfio-pci", "links": {}}
    bare, later = {"driver": "e1000e", "links": {"eth1": {"addresses": []}}}, {**vfio, "at_boot": "vfio-pci"}
    report = views.plan(
        outcome(
            tmp_path,
            ended("n1", "Steal it", "contivpp_stn", {**asked(action="begin", nic=""), "nic": {"name": "eth0"}}),
            ended("n2", "Give the NIC back", "contivpp_stn", asked(action="release", nic="eth0")),
            ended("n3", "Give NICs to VPP", "contivpp_nic", {**asked(nic="eth1"), "before": kernel, "after": vfio}),
            ended("n4", "Give NICs to VPP", "contivpp_nic", {**asked(nic="eth1"), "before": bare, "after": vfio}),
            ended("n5", "Give NICs to VPP", "contivpp_nic", {**asked(nic="eth1"), "before": vfio, "after": later}),
            ended("n6", "Give them back", "contivpp_nic", {**asked(nic="eth1"), "before": vfio, "after": kernel}),
        )
    )
    changes = [(one.host, one.kind, one.subject, one.what, one.before, one.after) for one in report.data.changes]
    assert changes == [
        ("n1", Kind.NIC, "eth0", "steal", "", ""),
        ("n2", Kind.NIC, "eth0", "give back", "", ""),
        ("n3", Kind.NIC, "eth1", "take from 10.9.0.5/24", "e1000e", "vfio-pci"),
        ("n4", Kind.NIC, "eth1", "take", "e1000e", "vfio-pci"),
        ("n5", Kind.NIC, "eth1", "next boot", "vfio-pci", "vfio-pci"),
        ("n6", Kind.NIC, "eth1", "give back", "vfio-pci", "e1000e"),
    ]
    assert {effect.host: effect.level for effect in report.data.effects} == {
        "n1": Level.INTERRUPTED,
        "n2": Level.INTERRUPTED,
        "n3": Level.INTERRUPTED,
        "n6": Level.INTERRUPTED,
    }
    assert report.data.packets == "packets are lost"
    assert [table.title for table in report.tables] == ["NICs", "What packets notice"]


def test_what_a_run_says_twice_is_in_the_plan_once(tmp_path: Path) -> None:
    twice = files("n", "/etc/contiv/contiv.conf", "changed", "mtuSize: 1\n", "mtuSize: 2\n")
    assert len(views.plan(outcome(tmp_path, twice, twice)).data.changes) == 1


def test_nothing_to_do_is_exit_code_0(tmp_path: Path) -> None:
    report = views.plan(outcome(tmp_path, ended("n", "Look", "stat", {"changed": False}), stats(n={"ok": 1})))
    assert (report.code, report.summary) == (ExitCode.GOOD, "Nothing would change on 1 hosts.")


# ---- ends


def test_failures_are_sentences_with_their_hosts_and_an_ignored_one_is_none(tmp_path: Path) -> None:
    bad = {"msg": "two hosts have the address 10.0.0.1"}
    report = views.run(
        outcome(
            tmp_path,
            ended("n1", "Try", "command", {"msg": "no"}, kind="failed", ignore_errors=True),
            ended("n1", "Look", "contivpp_preflight", bad, kind="failed"),
            ended("n2", "Look", "contivpp_preflight", bad, kind="failed"),
            stats(n1={"ok": 1, "failures": 1}, n2={"dark": 1}),
            status="failed",
        ),
        done="done",
    )
    assert report.problems[0] == "n1, n2: Look: two hosts have the address 10.0.0.1"
    assert "runs" in report.problems[1]
    assert [(row.host, row.state) for row in report.data.hosts] == [("n1", "failed"), ("n2", "unreachable")]
    assert report.code is ExitCode.SOMETHING_WRONG


def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    report = views.run(outcome(tmp_path, ended("n", "Look", "stat", {}), status="canceled"), done="done")
    assert report.code is ExitCode.INTERRUPTED
    assert "the same command again" in report.problems[0]


def test_a_run_that_never_began_is_a_matter_of_usage_with_what_ansible_said(tmp_path: Path) -> None:
    report = views.run(outcome(tmp_path, status="failed", output="ERROR! no such inventory"), done="done")
    assert (report.code, report.problems[0]) == (ExitCode.USAGE, "ERROR! no such inventory")


def test_a_run_on_no_host_at_all_has_done_nothing_and_says_so(tmp_path: Path) -> None:
    for report in (
        views.run(outcome(tmp_path, stats()), done="Every host is as it was."),
        views.plan(outcome(tmp_path)),
    ):
        assert report.code is ExitCode.USAGE
        assert report.problems[0].startswith("no host was found: see that the inventory (-i)")
        assert "as it was" not in report.summary and "Nothing would change" not in report.summary


# ---- runs


def test_a_run_gets_what_was_asked_for_and_a_folder_that_nobody_else_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    fake = FakeRunner()
    request = Request(
        project=tmp_path,
        playbook="playbooks/reset.yml",
        inventories=("/inv/a b",),
        limit="n1",
        variables=("x=1",),
        check=True,
    )
    result = runs.run(request, lambda event: None, runs=tmp_path / "runs", runner=fake)
    (call,) = fake.calls
    assert call["cmdline"] == "-i '/inv/a b' --limit n1 -e x=1 --check --diff"
    assert (call["playbook"], call["project_dir"]) == ("playbooks/reset.yml", str(tmp_path))
    assert call["envvars"]["ANSIBLE_CONFIG"] == str(tmp_path / "ansible.cfg")
    assert result.artifacts.stat().st_mode & 0o077 == 0
    assert result.artifacts.name.endswith("-reset")


def test_a_folder_that_cannot_be_made_is_named_with_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    request = Request(project=tmp_path, playbook="site.yml")
    with pytest.raises(UsageError, match=r"file/runs cannot be made .*: name another folder with --artifacts"):
        runs.run(request, lambda event: None, runs=tmp_path / "file/runs", runner=FakeRunner())


def test_the_newest_runs_are_kept(tmp_path: Path) -> None:
    made = [outcome(tmp_path).artifacts for _ in range(runs.KEPT + 3)]
    assert sorted((tmp_path / "runs").iterdir()) == sorted(made)[3:]


def test_a_checkout_is_found_by_name_or_around_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = tmp_path / "house"
    (house / "roles").mkdir(parents=True)
    (house / "site.yml").write_text("---")
    assert find_project(house, {}) == house
    assert find_project(None, {runs.PROJECT_VARIABLE: str(house)}) == house
    monkeypatch.chdir(house / "roles")
    assert find_project(None, {}) == house
    with pytest.raises(UsageError, match=r"--project or CONTIV_PROJECT"):
        find_project(tmp_path, {})


# ---- progress


def events() -> Iterator[Event]:
    told = (
        {"event": "playbook_on_play_start", "event_data": {"play": "Run etcd"}},
        {"event": "playbook_on_task_start", "event_data": {"task": "Run it", "role": ""}},
        {"event": "runner_on_start", "event_data": {"host": "node1", "task": "Run it"}},
        ended("node1", "Run it", "contivpp_service", {"changed": True}),
        {"event": "runner_on_start", "event_data": {"host": "node2", "task": "Run it"}},
        ended("node2", "Run it", "contivpp_service", {"changed": False}),
        ended("node2", "Wait", "uri", {"msg": "not ready\nat all"}, kind="failed"),
    )
    for event in map(read, told):
        assert event is not None
        yield event


def test_progress_is_a_line_for_what_was_done_and_none_for_what_was_not() -> None:
    said = io.StringIO()
    with Progress(Console(file=said, width=200)) as progress:
        for event in events():
            progress(event)
    assert said.getvalue().splitlines() == ["Run etcd", "  node1: Run it", "  node2: Wait: FAILED: not ready"]


def test_every_host_has_its_task_and_how_long_it_has_been_at_it() -> None:
    now = [0.0]
    hosts = Hosts(lambda: now[0])
    for event in list(events())[:5]:
        hosts.take(event)
    now[0] = 7.0
    assert (hosts.tasks, hosts.seconds("node2")) == ({"node1": "", "node2": "Run it"}, 7.0)
    assert hosts.counts["node1"][Status.CHANGED] == 1
    assert hosts.take(PlayStarted("another")) == "another"


# ---- commands


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs netctl in a checkout, with a runner that tells the given events for every playbook."""
    house = tmp_path / "house"
    (house / "roles").mkdir(parents=True)
    (house / "site.yml").write_text("---")

    def run(fake: FakeRunner, *words: str, given: str | None = None) -> Any:
        monkeypatch.setattr(runs, "_ansible_runner", lambda: fake)
        options = ["--project", str(house), "--artifacts", str(tmp_path / "runs")]
        return CliRunner().invoke(app, [*words, *options], input=given)

    return run


CHANGED = (
    files("n", "/etc/contiv/contiv.conf", "changed", "mtuSize: 1\n", "mtuSize: 2\n"),
    stats(n={"ok": 1, "changed": 1}),
)
SAME = (ended("n", "Look", "stat", {"changed": False}), stats(n={"ok": 1}))


def test_plan_ends_with_4_when_something_would_change_and_says_it_as_json(command: Callable[..., Any]) -> None:
    fake = FakeRunner(*CHANGED)
    done = command(fake, "plan", "-o", "json")
    assert done.exit_code == 4
    said = json.loads(done.stdout)
    assert said["changes"][0]["what"] == "mtuSize"
    assert said["packets"] == "packets are lost"
    assert "--check --diff" in fake.calls[0]["cmdline"]
    assert command(FakeRunner(*SAME), "plan").exit_code == 0


def test_deploy_runs_site_and_ends_as_it_does(command: Callable[..., Any]) -> None:
    fake = FakeRunner(*CHANGED)
    assert command(fake, "deploy", "-i", "/inv", "--limit", "n").exit_code == 0
    assert [call["playbook"] for call in fake.calls] == ["site.yml"]
    assert "--check" not in fake.calls[0]["cmdline"]
    assert command(FakeRunner(*CHANGED, status="failed"), "deploy").exit_code == 1


@pytest.mark.parametrize(
    ("name", "books"),
    [
        ("upgrade", ["site.yml", "playbooks/upgrade.yml"]),
        ("reconfigure", ["playbooks/reconfigure.yml", "playbooks/reconfigure.yml"]),
    ],
)
def test_a_plan_is_shown_first_and_nothing_is_done_without_a_yes(
    command: Callable[..., Any], name: str, books: list[str]
) -> None:
    fake = FakeRunner(*CHANGED)
    for answer in ("n\n", ""):
        done = command(fake, name, given=answer)
        assert done.exit_code == 5
        assert "mtuSize" in done.stderr and "nothing was changed" in done.stderr
        assert {call["playbook"] for call in fake.calls} == {books[0]}
        assert all("--check" in call["cmdline"] for call in fake.calls)
    fake.calls.clear()
    assert command(fake, name, given="y\n").exit_code == 0
    assert [call["playbook"] for call in fake.calls] == books
    assert "--check" not in fake.calls[-1]["cmdline"]
    fake.calls.clear()
    assert command(fake, name, "--yes").exit_code == 0
    assert [call["playbook"] for call in fake.calls] == books


def test_where_there_is_nothing_to_do_nobody_is_asked_and_nothing_is_run(command: Callable[..., Any]) -> None:
    fake = FakeRunner(*SAME)
    assert command(fake, "reconfigure").exit_code == 0
    assert len(fake.calls) == 1


def test_a_plan_that_fails_is_the_end(command: Callable[..., Any]) -> None:
    fake = FakeRunner(ended("n", "Look", "x", {"msg": "bad"}, kind="failed"), stats(n={"failures": 1}), status="failed")
    assert command(fake, "upgrade", "--yes").exit_code == 1
    assert len(fake.calls) == 1


def test_reset_asks_and_tells_the_playbook_that_it_has(command: Callable[..., Any]) -> None:
    fake = FakeRunner(*CHANGED)
    assert command(fake, "reset", given="n\n").exit_code == 5
    assert fake.calls == []
    assert command(fake, "reset", "--yes").exit_code == 0
    assert "-e reset_confirmed=yes" in fake.calls[0]["cmdline"]


def test_without_a_checkout_it_says_how_to_name_one(command: Callable[..., Any], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["plan", "--project", str(tmp_path)])
    assert done.exit_code == 2
    assert "CONTIV_PROJECT" in done.stderr

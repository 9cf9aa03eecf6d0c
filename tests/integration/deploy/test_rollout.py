"""Upgrades and changed settings as Ansible runs them, over roles and modules that only say what they were told."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.deploy.ansible import REPOSITORY, ansible_playbook

PCI = "0000:00:03.0"
STN = f"""
from ansible.module_utils.basic import AnsibleModule
names = ("action", "nic", "driver", "node_ip", "program", "confirm_within", "timeout")
module = AnsibleModule({{name: {{"type": "str"}} for name in names}}, supports_check_mode=True)
module.exit_json(changed=False, phase="confirmed", reason="", pci="{PCI}")
"""


class Stage:
    """A playbook of a test, with roles and modules beside it that take the places of the real ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def role(self, name: str, *tasks: dict[str, Any], file: str = "main") -> None:
        place = self.folder / "roles" / name / "tasks" / f"{file}.yml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(yaml.safe_dump(list(tasks)))

    def module(self, name: str, text: str) -> None:
        place = self.folder / "library" / f"{name}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("#!/usr/bin/python" + text)

    def play(self, book: str | Path, hosts: dict[str, Any], *words: str, **variables: Any) -> tuple[int, str]:
        inventory = self.folder / "hosts.yml"
        groups = {"contivpp_control_plane": {"hosts": {next(iter(hosts)): {}}}, "contivpp_nodes": {"hosts": hosts}}
        inventory.write_text(yaml.safe_dump({"contivpp": {"children": {**groups, "contivpp_etcd": {}}}}))
        given = {"ansible_python_interpreter": sys.executable, **variables}
        done = ansible_playbook(self.folder, "-i", str(inventory), str(book), "-e", json.dumps(given), *words)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def says(text: str) -> dict[str, Any]:
    return {"name": "Say it", "ansible.builtin.debug": {"msg": text}}


@pytest.fixture
def changing(stage: Stage) -> Callable[..., tuple[int, str]]:
    """Brings settings to the one node there is, in check mode; returns the exit code and what was said."""
    for name in ("etcd", "ksr", "agent", "cni", "netctl"):
        stage.role(name, says(name))
    stage.role("vpp", says("VPP DRIVES {{ (stn_vpp_dpdk | default({})).dev | default({}) | list | join }}."))
    stage.module("contivpp_stn", STN)
    book = stage.folder / "book.yml"
    task = {"name": "Bring them", "ansible.builtin.include_role": {"name": "rollout"}}
    book.write_text(yaml.safe_dump([{"name": "Book", "hosts": "all", "gather_facts": False, "tasks": [task]}]))

    def change(**config: Any) -> tuple[int, str]:
        hosts = {"one": {"ansible_connection": "local"}}
        given = {"contivpp_config": config, "rollout_steps": "settings", "rollout_drain": False}
        return stage.play(book, hosts, "--check", **given)

    return change


def test_a_stolen_nic_stays_in_startup_conf_when_a_node_changes(changing: Callable[..., tuple[int, str]]) -> None:
    code, said = changing(dataplane="vpp", stealInterface="eth0")
    assert code == 0, said
    assert f"VPP DRIVES {PCI}." in said, said
    assert said.index("VPP DRIVES") < said.index("TASK [stn : Run contiv-stn]") < said.index("TASK [agent : Say it]")
    assert "Take the change back" not in said


def test_a_node_whose_nic_changes_hands_is_left_to_site_yml(
    stage: Stage, changing: Callable[..., tuple[int, str]]
) -> None:
    code, said = changing(dataplane="vpp")
    assert "the NIC is stolen and is not to be any more: run site.yml first" in said and "VPP DRIVES" not in said
    stage.module("contivpp_stn", STN.replace("confirmed", ""))
    code, said = changing(dataplane="vpp", stealInterface="eth0")
    assert "the NIC is to be stolen and is not: run site.yml first" in said and "VPP DRIVES" not in said
    code, said = changing(dataplane="vpp")
    assert code == 0 and "VPP DRIVES ." in said and "Run contiv-stn]" not in said, said


@pytest.mark.parametrize("book", ["upgrade", "reconfigure"])
def test_no_host_is_touched_after_one_that_is_not_reached_any_more(stage: Stage, book: str) -> None:
    lost = {"name": "Lose it", "ansible.builtin.set_fact": {"ansible_connection": "ssh", "ansible_port": 1}}
    lost["when"] = "inventory_hostname == 'n3'"
    ask = {"name": "Ask it", "ansible.builtin.command": {"cmd": "true"}}
    stage.role("rollout", says("CHANGES {{ inventory_hostname }}."), lost, ask)
    plays = [play for play in yaml.safe_load((REPOSITORY / f"playbooks/{book}.yml").read_text()) if play.get("serial")]
    assert plays
    for play in plays:
        play["hosts"] = "contivpp_nodes"
    copy = stage.folder / "book.yml"
    copy.write_text(yaml.safe_dump(plays))
    hosts = {f"n{number}": {"ansible_connection": "local", "ansible_host": "127.0.0.1"} for number in range(1, 8)}
    code, said = stage.play(copy, hosts, reconfigure_changes=[], reconfigure_batch="40%", upgrade_batch="40%")
    assert all(f"CHANGES n{number}." in said for number in (1, 2, 3)), said
    assert code != 0 and "CHANGES n4." not in said and said.count("CHANGES n1.") == 1, said
    assert "n3: not reached any more, and no other host is touched" in said, said


TOLD = """
import json, pathlib
from ansible.module_utils.basic import AnsibleModule
names = ("note", "names", "folder", "state", "name", "uses")
module = AnsibleModule({name: {"type": "raw"} for name in names}, supports_check_mode=True)
with (pathlib.Path("%s") / "told").open("a") as file:
    file.write(json.dumps({name: value for name, value in module.params.items() if value is not None}) + "\\n")
module.exit_json(changed=True, paths=[])
"""


def test_nobody_is_asked_before_every_host_has_said_what_differs(stage: Stage) -> None:
    fails = {"name": "Fail", "ansible.builtin.fail": {"msg": "UNKNOWN"}, "when": "inventory_hostname == 'n2'"}
    for name in ("etcd", "ksr", "vpp", "cni", "netctl"):
        stage.role(name, says(name), file="config")
    stage.role("stn", says("stn"), file="kept")
    stage.role("agent", fails, file="config")
    plays = yaml.safe_load((REPOSITORY / "playbooks/reconfigure.yml").read_text())
    copy = stage.folder / "book.yml"
    copy.write_text(yaml.safe_dump([play for play in plays if play["name"] in ("Find what differs", "Ask")]))
    hosts = {name: {"ansible_connection": "local"} for name in ("n1", "n2", "n3")}
    code, said = stage.play(copy, hosts, reconfigure_confirmed="yes", reconfigure_ask=False)
    assert code != 0 and "UNKNOWN" in said
    assert "Show what would change" not in said, said
    code, said = stage.play(copy, dict(list(hosts.items())[::2]), reconfigure_confirmed="yes", reconfigure_ask=False)
    assert code == 0 and "Show what would change" in said, said


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"vpp_found": {"packages": {"vpp": "2"}}}, {"note": "vpp", "folder": "/opt/contiv-vpp/packages"}),
        ({}, {"note": "vpp", "names": ["vpp=1"]}),
    ],
    ids=["from files of the controller", "from a repository"],
)
def test_packages_of_vpp_are_brought_back_from_where_they_came(
    stage: Stage, source: dict[str, Any], told: dict[str, Any]
) -> None:
    for name in ("contivpp_snapshot", "contivpp_packages", "contivpp_service"):
        stage.module(name, TOLD % stage.folder)
    stage.role("drain", says("drain"), file="undo")
    book = stage.folder / "book.yml"
    task = {"name": "Back", "ansible.builtin.include_role": {"name": "rollout", "tasks_from": "back.yml"}}
    book.write_text(yaml.safe_dump([{"name": "Book", "hosts": "one", "gather_facts": False, "tasks": [task]}]))
    given = {"vpp_installed": {"before": {"vpp": "1"}}, "rollout_patience": 0, **source}
    _, said = stage.play(book, {"one": {"ansible_connection": "local"}}, **given)
    answers = [json.loads(line) for line in (stage.folder / "told").read_text().splitlines()]
    assert [one for one in answers if "note" in one] == [told], said


def test_a_deployment_that_came_to_its_end_leaves_nothing_to_go_back_to(stage: Stage) -> None:
    """Or a later change that fails would put the host back to what an interrupted one had found, long ago."""
    for name in (path.name for path in (REPOSITORY / "roles").iterdir()):
        for file in ("main", "install", "kubernetes", "device", "steal", "absent", "release"):
            stage.role(name, says(f"{name} {file}"), file=file)
    stage.module("contivpp_snapshot", TOLD % stage.folder)
    for name in ("preflight", "verify", "site"):
        text = (REPOSITORY / f"playbooks/{name}.yml").read_text()
        (stage.folder / f"{name}.yml").write_text(text)
    given = {"stn_wanted": False, "contivpp_config": {}}
    code, said = stage.play(stage.folder / "site.yml", {"one": {"ansible_connection": "local"}}, "--check", **given)
    assert code == 0, said
    assert json.loads((stage.folder / "told").read_text()) == {"state": "absent"}, said


def test_a_vpp_that_was_carried_over_half_is_carried_over_whole(stage: Stage) -> None:
    prefix, folder = stage.folder / "prefix", stage.folder / "node"
    for name in ("bin/vpp", "bin/vppctl", "lib/libvlib.so"):
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).touch(mode=0o755)
    book = stage.folder / "book.yml"
    task = {"name": "Carry it", "ansible.builtin.include_role": {"name": "vpp", "tasks_from": "prefix.yml"}}
    book.write_text(yaml.safe_dump([{"name": "Book", "hosts": "one", "gather_facts": False, "tasks": [task]}]))
    given = {
        "vpp_prefix": str(prefix),
        "vpp_folder": str(folder),
        "vpp_archive": str(stage.folder / "vpp.tar.gz"),
        "vpp_debian_packages": [],
    }
    hosts = {"one": {"ansible_connection": "local"}}
    code, said = stage.play(book, hosts, **given)
    assert code == 0, said
    content = (folder / "current").resolve()
    # The run ended in the midst of it, and nothing uses it yet.
    for name in (".complete", "bin/vpp"):
        (content / name).unlink()
    (content / "junk").touch()
    (folder / "current").unlink()
    code, said = stage.play(book, hosts, **given)
    assert code == 0, said
    assert (folder / "current/bin/vpp").exists() and (content / ".complete").exists()

"""Variables as `-e NAME=VALUE` gives them: numbers and truth values are words then, and mean what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.integration.deploy.ansible import REPOSITORY, ansible_playbook

TEMPLATES = {
    "boot": "stn/templates/contiv-stn-boot.service.j2",
    "stn": "stn/templates/contiv-stn.service.j2",
    "vpp": "vpp/templates/contiv-vpp.service.j2",
}
Say = Callable[..., dict[str, object]]


@pytest.fixture
def say(tmp_path: Path) -> Say:
    """What is made of the variables: the units, what VPP needs of memory, what a node is to give it, its settings."""
    book = tmp_path / "book.yml"
    roles = REPOSITORY / "roles"
    said = {name: "{{ lookup('ansible.builtin.template', '%s') }}" % (roles / path) for name, path in TEMPLATES.items()}
    said["ports"] = "{{ [preflight_ports.agent.port | int, preflight_ports_control_plane.ksr.port | int] }}"
    said |= {"memory": "{{ preflight_vpp_memory }}", "host": "{{ preflight_host }}"}
    [configure] = [
        task
        for task in yaml.safe_load((roles / "vpp/tasks/config.yml").read_text())
        if task["name"] == "Tell VPP how to run"
    ]
    said["settings"] = configure["vars"]["vpp_wanted"]
    said["asked"] = [
        task["ansible.builtin.uri"]["url"]
        for path in ("playbooks/verify.yml", "roles/rollout/tasks/verify.yml", "roles/rollout/tasks/back.yml")
        for entry in yaml.safe_load((REPOSITORY / path).read_text())
        for task in entry.get("tasks", [entry])
        if "ansible.builtin.uri" in task
    ]
    play = {
        "name": "Say it",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(roles / name / "defaults/main.yml") for name in ("stn", "vpp", "preflight")],
        "vars": {
            **configure["vars"],
            "role_path": str(roles / "vpp"),
            "vpp_program": "/usr/bin/vpp",
            "vpp_libraries": "",
            "said": said,
        },
        "tasks": [
            {
                "name": "Write it",
                "ansible.builtin.copy": {
                    "content": "{{ said | to_json }}",
                    "dest": str(tmp_path / "said"),
                    "mode": "0600",
                },
            }
        ],
    }
    book.write_text(yaml.safe_dump([play]))

    def say(**variables: str) -> dict[str, object]:
        words = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        done = ansible_playbook(tmp_path, "-i", "localhost,", str(book), *words)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, object] = json.loads((tmp_path / "said").read_text())
        return found

    return say


def test_false_as_a_word_is_false(say: Say) -> None:
    said = say(stn_no_iommu="false", vpp_core_dumps="false", host_hugepages_now="false", vpp_strict="false")
    assert "no-iommu" not in str(said["boot"]) + str(said["stn"]), "the NIC could write to all memory"
    assert "LimitCORE=0" in str(said["vpp"])
    assert isinstance(said["host"], dict)
    assert said["host"]["hugepages_now"] is False and said["host"]["strict"] is False
    said = say(stn_no_iommu="yes", vpp_core_dumps="true")
    assert " --no-iommu\n" in str(said["boot"]) and " --no-iommu\n" in str(said["stn"])
    assert "LimitCORE=infinity" in str(said["vpp"])


def test_a_number_as_a_word_is_a_number(say: Say) -> None:
    said = say(vpp_buffers="32768", vpp_poll_sleep="100")
    assert said["memory"] in (720, "720")
    assert isinstance(said["settings"], dict)
    assert said["settings"]["unix"]["poll-sleep-usec"] in (100, "100")
    assert said["settings"]["buffers"]["buffers-per-numa"] in (32768, "32768")


@pytest.mark.parametrize(("heap", "memory"), [("1g", 1192), ("512m", 680), ("536870912", 680), ("1G", 1192)])
def test_a_heap_is_as_large_as_vpp_takes_it(say: Say, heap: str, memory: int) -> None:
    assert int(str(say(vpp_main_heap_size=heap)["memory"])) == memory


@pytest.mark.parametrize(
    ("agent", "ksr", "asked"),
    [
        ("0.0.0.0:9999", ":9191", ("127.0.0.1:9999", "127.0.0.1:9191")),
        ("10.0.0.11:9998", "[::]:9192", ("10.0.0.11:9998", "[::1]:9192")),
        ("[fd00::11]:9998", "127.0.0.1:9191", ("[fd00::11]:9998", "127.0.0.1:9191")),
    ],
)
def test_agents_are_asked_where_they_listen(say: Say, agent: str, ksr: str, asked: tuple[str, str]) -> None:
    said = say(agent_listen=agent, ksr_listen=ksr)
    assert isinstance(said["asked"], list) and len(said["asked"]) == 5
    assert set(said["asked"]) == {f"http://{one}/readiness" for one in asked}
    assert f"--agent-url http://{asked[0]} " in str(said["stn"])
    assert isinstance(said["ports"], list)
    assert said["ports"] == [int(asked[0].rpartition(":")[2]), int(asked[1].rpartition(":")[2])]

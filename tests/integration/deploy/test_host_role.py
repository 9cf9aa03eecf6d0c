"""Role host as Ansible runs it, on this machine: only what changes nothing, or is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.deploy.ansible import ansible_playbook


@pytest.fixture
def role(tmp_path: Path) -> Any:
    book = tmp_path / "book.yml"
    tasks = [
        {"name": name, "ansible.builtin.include_role": {"name": "host", "tasks_from": name}}
        for name in ("main", "release")
    ]
    play = {"name": "Host", "hosts": "all", "gather_facts": False, "connection": "local", "tasks": tasks}
    book.write_text(yaml.safe_dump([play]))

    def run(*words: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        given = {"ansible_python_interpreter": sys.executable, **variables}
        return ansible_playbook(tmp_path, "-i", "localhost,", str(book), "-e", json.dumps(given), *words)

    return run


def test_a_role_that_is_asked_for_nothing_changes_nothing(role: Any) -> None:
    done = role("--diff")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0" in done.stdout and "See which NICs were taken" in done.stdout


def test_a_check_shows_what_would_change_and_changes_nothing(role: Any) -> None:
    parameter = Path("/proc/sys/vm/max_map_count")
    before = parameter.read_text().strip()
    done = role("--check", "--diff", host_sysctl={"vm.max_map_count": int(before) + 1})
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'+        "vm.max_map_count": "{int(before) + 1}"' in done.stdout and "changed=1" in done.stdout
    assert parameter.read_text().strip() == before and not Path("/etc/sysctl.d/90-contiv.conf").exists()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"host_nics": [{"nic": "none0"}]}, "there is no NIC none0 on this host, only"),
        ({"host_hugepages": [{"size": "2M", "count": 1 << 40}]}, "of memory can be had"),
        ({"host_hugepages": [{"size": "3M", "count": 1}]}, "this host has no pages of 3M, only"),
        ({"host_modules": ["nosuch"]}, "this kernel has no module nosuch"),
        ({"host_nics": [{"driver": "vfio-pci"}]}, "missing required arguments: nic"),
        ({"host_nics": [{"nic": "none0", "driver": "e1000e"}]}, "value of driver must be one of"),
    ],
)
def test_what_cannot_be_had_is_refused_with_a_sentence(role: Any, variables: dict[str, Any], sentence: str) -> None:
    done = role("--check", **variables)
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr, done.stdout + done.stderr
    assert "changed=0" in done.stdout

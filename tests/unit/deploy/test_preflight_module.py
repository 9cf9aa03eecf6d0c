from __future__ import annotations

import importlib
import socket
import sys
import time
from typing import Any

import pytest

from .conftest import Run

HERE = {"node_name": "node1", "address": "127.0.0.1"}


@pytest.fixture
def sound(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is all right, so that what a test breaks is all that is found."""
    core = importlib.import_module("ansible.module_utils.contivpp.host.preflight")
    monkeypatch.setattr(core, "host", list)
    monkeypatch.setattr(core, "other_networks", list)
    monkeypatch.setattr(core, "other_services", list)
    monkeypatch.setattr(core, "_routes", list)


@pytest.mark.usefixtures("sound")
def test_a_sound_host_passes_and_nothing_changes(run: Run) -> None:
    answer = run("contivpp_preflight", now=time.time(), free_space=1, **HERE)
    assert answer["problems"] == []
    assert answer["changed"] is False
    assert "failed" not in answer


@pytest.mark.usefixtures("sound")
def test_all_problems_come_at_once_with_those_that_were_found_before(run: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        wanted: dict[str, Any] = {
            "now": time.time() - 4000,
            "free_space": 1,
            "node_name": "Node1",
            "address": "127.0.0.1",
            "others": {"node2": "127.0.0.1", "node3": ""},
            "python": "2.7 pdp11",
            "subnets": {"ipamConfig.podSubnetCIDR": "10.1.0.1/16"},
            "ports": {"agent": {"port": other.getsockname()[1], "unit": "contiv-none"}},
            "problems": ["contiv.conf: mtuSiez: is not an option"],
            "vpp": {"uplink": "none0", "address": "127.0.0.1", "alone": False, "memory": 1, "program": ""},
        }
        answer = run("contivpp_preflight", **wanted)
    assert answer["failed"]
    for part in (
        "mtuSiez",
        "cannot use packages for Python 2.7",
        "'Node1' cannot be the name",
        "node2 has the address",
        "s off the controller's",
        "is not a subnet",
        "for agent cannot be had",
        "there is no interface none0",
    ):
        assert sum(part in sentence for sentence in answer["problems"]) == 1, (part, answer["problems"])
    assert len(answer["problems"]) == 8


def test_the_core_needs_the_standard_library_only_and_old_python() -> None:
    import ast
    import subprocess

    from .conftest import REPOSITORY

    files = [*sorted((REPOSITORY / "contivpp/host").rglob("*.py")), *sorted((REPOSITORY / "library").glob("*.py"))]
    for file in files:
        ast.parse(file.read_text(), str(file), feature_version=(3, 8))
    names = [
        ".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        for file in files
        if file.is_relative_to(REPOSITORY / "contivpp")
    ]
    assert "contivpp.host.taking" in names
    script = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import {', '.join(names)}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

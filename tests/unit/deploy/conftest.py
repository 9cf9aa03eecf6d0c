"""Ansible's modules as Ansible runs them, in this process."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ansible.module_utils
import pytest
from ansible.module_utils.testing import patch_module_args

REPOSITORY = Path(__file__).resolve().parents[3]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Runs a module of library/ and returns what it answers; "failed" is true when it failed."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "library"))
    # What `module_utils = .` of ansible.cfg does when Ansible packs a module.
    monkeypatch.setattr(ansible.module_utils, "__path__", [*ansible.module_utils.__path__, str(REPOSITORY)])

    # What a module remembers of a host is not remembered of this one.
    state = importlib.import_module("ansible.module_utils.contivpp.host.state")
    monkeypatch.setattr(state, "FOLDER", str(tmp_path / "contiv-memory"))

    def run(name: str, /, *, check: bool = False, diff: bool = False, **arguments: Any) -> dict[str, Any]:
        module = importlib.import_module(name)
        with patch_module_args({**arguments, "_ansible_check_mode": check, "_ansible_diff": diff}):
            with pytest.raises(SystemExit):
                module.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
        return answer

    yield run
    for name in [name for name in sys.modules if name.startswith(("contivpp_", "ansible.module_utils.contivpp"))]:
        del sys.modules[name]


@pytest.fixture
def machine(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A machine that is played, and runs modules when it is called."""
    from tests.unit.deploy.machine import Machine

    return Machine(run, monkeypatch, tmp_path)

"""The modules of library/ on a machine that is played."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from tests.unit.deploy.conftest import Run
from tests.unit.host.kernel import Kernel


class Machine:
    """A played kernel, and the modules that run on it."""

    def __init__(self, run: Run, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.kernel = Kernel(root)
        self._run = run
        self._monkeypatch = monkeypatch

    def __call__(self, name: str, *, check: bool = False, diff: bool = False, **arguments: Any) -> dict[str, Any]:
        """Runs a module."""
        kind = importlib.import_module("ansible.module_utils.contivpp.host.system").System
        module = importlib.import_module(name)
        self._monkeypatch.setattr(module, "System", lambda: self.kernel.system(kind))
        return self._run(name, check=check, diff=diff, **arguments)

    def files(self) -> dict[str, str]:
        """Every file of the machine with its text."""
        return {
            str(path.relative_to(self.kernel.root)): path.read_text()
            for path in sorted(self.kernel.root.rglob("*"))
            if path.is_file() and not path.is_symlink() and "/sys/" not in str(path)
        }

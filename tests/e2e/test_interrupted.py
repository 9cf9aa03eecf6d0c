"""A deployment that is killed at any task, and run again, ends where one that was left alone does.

On a machine of its own. Half of the runs begin with nothing, half with a network that gets other settings; the task is
drawn, and the seed is printed with the failure. Ansible and what it has started here die at once; what it runs on the
machine may live on and meet the next run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .machines import Machines, recap

pytestmark = [pytest.mark.slow_e2e, pytest.mark.timeout(3600)]
NODE = "cut1"
KILLS = int(os.environ.get("CONTIV_KILLS", "10"))
SERVICES = ("contiv-etcd", "contiv-ksr", "contiv-agent")


@pytest.fixture(scope="module")
def machines(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("files")
    machines = Machines(repository, folder, "cvcut", "10.219.0.0/24", {NODE: "10.219.0.11"})
    with machines.up():
        yield machines


def kill_at(machines: Machines, task: int, pause: float, *words: str) -> str:
    """Runs site.yml, and kills it some time after a task has begun; returns that task's name."""
    command = machines.command("site.yml", *words)
    process = subprocess.Popen(
        command,
        cwd=machines.repository,
        env={**machines.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    seen, name = 0, "none: it had ended"
    try:
        for line in process.stdout:
            if line.startswith("TASK ["):
                seen, name = seen + 1, line
            if seen == task:
                time.sleep(pause)
                break
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    return name.strip(" *\n")


def settings(level: str, mtu: int) -> tuple[str, ...]:
    return (
        "-e",
        f'{{"agent_log_level": "{level}", "ksr_log_level": "{level}", "contivpp_config": {{"mtuSize": {mtu}}}}}',
    )


def check(machines: Machines, level: str, mtu: int, where: str) -> None:
    """What runs has the settings, everything is well, and one more run finds nothing to do."""
    for service in ("contiv-ksr", "contiv-agent"):
        said = machines.on(NODE, f"tr '\\0' ' ' < /proc/$(systemctl show -P MainPID {service})/cmdline")
        assert f"--log-level {level}" in said, (where, service, said)
    assert f"mtuSize: {mtu}" in machines.on(NODE, "cat /etc/contiv/contiv.conf"), where
    states = machines.on(NODE, f"systemctl is-active {' '.join(SERVICES)}; systemctl is-enabled {' '.join(SERVICES)}")
    assert states.split() == ["active"] * len(SERVICES) + ["enabled"] * len(SERVICES), where
    machines.on(NODE, "contiv-netctl status --wait 60")
    counts = recap(machines.play("site.yml", *settings(level, mtu)))[NODE]
    assert (counts.changed, counts.failed, counts.unreachable) == (0, 0, 0), (where, counts)


def test_a_run_that_is_killed_at_any_task_is_finished_by_the_next(machines: Machines) -> None:
    seed = int(os.environ.get("CONTIV_SEED") or random.randrange(1 << 30))
    print(f"CONTIV_SEED={seed}")
    chance = random.Random(seed)
    tasks = machines.play("site.yml", *settings("info", 1400)).count("TASK [")
    for number in range(KILLS):
        level, mtu = ("debug", 1300 + number) if number % 2 else ("info", 1400 + number)
        if number % 2 == 0:
            machines.play("playbooks/reset.yml", "-e", "reset_confirmed=yes")
        task, pause = chance.randrange(1, tasks + 1), chance.uniform(0, 1.5)
        name = kill_at(machines, task, pause, *settings(level, mtu))
        where = f"seed {seed}, kill {number}: {pause:.1f} s after task {task} of {tasks}, {name}"
        print(where, flush=True)
        counts = recap(machines.play("site.yml", *settings(level, mtu)))[NODE]
        assert (counts.failed, counts.unreachable) == (0, 0), where
        check(machines, level, mtu, where)

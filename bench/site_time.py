"""How long a deployment takes: machines from nothing, site.yml on fresh nodes, and again with nothing to do.

It builds three machines of its own beside the playground's, with its base image, and takes them away. Besides seconds
it counts tasks, and names those that took longest.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from pathlib import Path

from _common import report

from tests.e2e.machines import Machines, recap

NODES = {"bench1": "10.218.0.11", "bench2": "10.218.0.12", "bench3": "10.218.0.13"}
LONGEST = 5


def deploy(machines: Machines, name: str, *words: str) -> None:
    """Runs the deployment once and reports it."""
    begin = time.monotonic()
    output = machines.play("site.yml", *words)
    seconds = time.monotonic() - begin
    counts = recap(output).values()
    longest = re.findall(r"^(\S.*?) -+ +([\d.]+)s$", output, re.MULTILINE)[:LONGEST]
    report(
        name,
        seconds,
        "s",
        1,
        tasks=sum(count.ok for count in counts),
        changed=sum(count.changed for count in counts),
        longest={task: float(took) for task, took in longest},
        load=os.getloadavg()[0],
    )


def main() -> None:
    if os.geteuid():
        raise SystemExit("building machines needs root")
    os.environ["ANSIBLE_CALLBACKS_ENABLED"] = "ansible.posix.profile_tasks"
    folder = Path(tempfile.mkdtemp(prefix="contiv-site-time-"))
    machines = Machines(Path(__file__).resolve().parents[1], folder, "cvbench", "10.218.0.0/24", NODES)
    try:
        begin = time.monotonic()
        with machines.up():
            report("site_time_machines", time.monotonic() - begin, "s", len(NODES), base_image="there")
            deploy(machines, "site_time_check_fresh", "--check", "--diff")
            deploy(machines, "site_time_fresh")
            deploy(machines, "site_time_again")
            deploy(machines, "site_time_check", "--check", "--diff")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

"""How long a node is away while its only NIC is stolen for VPP, and while it is given back.

Seconds: the longest time without an answer to a ping every 20 ms from the controller, in each of the two. The node is a
virtual machine in software emulation (`contiv-playground vm`), made and taken away by the plays of molecule/nic. Needs
root, and VPP_PREFIX: a VPP with the dpdk plugin that needs no AVX-512.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._common import report

REPOSITORY = Path(__file__).resolve().parent.parent
ADDRESS = "10.211.0.11"
PERIOD = 0.02
_ANSWER = re.compile(r"^\[(\d+\.\d+)\] .*icmp_seq=\d+")


def play(name: str) -> None:
    """Runs a play of molecule/nic; its output is shown when it fails."""
    command = ["ansible-playbook", "-i", "molecule/nic/inventory", f"molecule/nic/{name}.yml"]
    environment = {**os.environ, "MOLECULE_PROJECT_DIRECTORY": str(REPOSITORY)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stdout[-4000:]}{done.stderr[-1000:]}")


def longest_gap(text: str) -> float:
    """The longest time between two answers in what `ping -D` printed, in seconds."""
    times = [float(found[1]) for line in text.splitlines() if (found := _ANSWER.match(line))]
    return max((after - before for before, after in itertools.pairwise(times)), default=float("inf"))


def gap_during(name: str, folder: Path) -> float:
    """Runs a play while the node is pinged."""
    answers = folder / name
    with answers.open("w") as output:
        pinging = subprocess.Popen(["ping", "-n", "-D", "-i", str(PERIOD), ADDRESS], stdout=output)
        try:
            play(name)
        finally:
            pinging.terminate()
            pinging.wait()
    return longest_gap(answers.read_text())


def main() -> None:
    if os.geteuid() or not os.environ.get("VPP_PREFIX"):
        print("stn_gap needs root and VPP_PREFIX", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            play("one_nic")
            stolen = gap_during("steal", Path(folder))
            returned = gap_during("release", Path(folder))
        finally:
            subprocess.run(["contiv-playground", "vm", "down"], cwd=REPOSITORY, check=False, capture_output=True)
    report("stn_gap.stolen", stolen, "s", 1)
    report("stn_gap.returned", returned, "s", 1)


if __name__ == "__main__":
    main()

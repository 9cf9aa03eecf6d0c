"""The way to the machines: the controller's ssh key, and the host keys that it knows.

Both live in one folder of the checkout, so that Ansible, the tests and a person use the same.
"""

from __future__ import annotations

from pathlib import Path

from contivpp.playground.machines.shell import run

KEY = "id_ed25519"
KNOWN_HOSTS = "known_hosts"


def make_key(files: Path, *, check: bool) -> list[str]:
    """Makes the key when it is not there; returns what that changed, or would change with `check`."""
    key = files / KEY
    if key.is_file() and key.with_suffix(".pub").is_file():
        return []
    if not check:
        files.mkdir(mode=0o700, parents=True, exist_ok=True)
        key.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "contiv-playground", "-f", key])
    return ["made the ssh key"]


def public_key(files: Path) -> str:
    """Returns the key that a machine lets in."""
    return (files / f"{KEY}.pub").read_text()


def remember(files: Path, address: str, host_key: str) -> bool:
    """Writes down by which key a machine is known; returns whether that was new."""
    known_hosts = files / KNOWN_HOSTS
    line = f"{address} {host_key}"
    lines = known_hosts.read_text().splitlines() if known_hosts.is_file() else []
    if line in lines:
        return False
    kept = [other for other in lines if other.split()[:1] != [address]]
    known_hosts.write_text("\n".join([*kept, line]) + "\n")
    return True

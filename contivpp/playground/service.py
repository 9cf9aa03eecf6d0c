"""What every stand-in does as a systemd service."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Tells systemd, if it asked to be told (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(state.encode())

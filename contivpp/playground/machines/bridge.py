"""The bridge between the machines and the controller."""

from __future__ import annotations

import json
from pathlib import Path

from contivpp.playground.machines.plan import MachinesError, Network
from contivpp.playground.machines.shell import run

_DEVICES = Path("/sys/class/net")


def is_there(network: Network) -> bool:
    """Tells whether the bridge is there, with the controller's address on it.

    Raises:
        MachinesError: A device of that name is there and is no bridge, or somebody else's.
    """
    device = _DEVICES / network.bridge
    if not device.exists():
        return False
    if not (device / "bridge").exists():
        raise MachinesError(f"a device called {network.bridge} exists and is not a bridge: set playground_bridge")
    links = json.loads(run(["ip", "-4", "-json", "address", "show", "dev", network.bridge]))
    addresses = [f"{a['local']}/{a['prefixlen']}" for link in links for a in link.get("addr_info", ())]
    if addresses and addresses != [str(network.gateway)]:
        raise MachinesError(
            f"a bridge called {network.bridge} exists and has the address {addresses[0]}, so it is not the"
            f" playground's on {network.subnet}: set playground_bridge, or remove it"
        )
    up = any("UP" in link.get("flags", ()) for link in links)
    return up and addresses == [str(network.gateway)]


def make(network: Network) -> None:
    """Makes the bridge, or mends the one that is there."""
    if not (_DEVICES / network.bridge).exists():
        run(["ip", "link", "add", network.bridge, "type", "bridge"])
    run(["ip", "-4", "address", "flush", "dev", network.bridge])
    run(["ip", "address", "add", str(network.gateway), "dev", network.bridge])
    run(["ip", "link", "set", network.bridge, "up"])


def remove(bridge: str) -> bool:
    """Removes the bridge; what is no bridge is left alone.

    Returns:
        Whether it was there.
    """
    if not (_DEVICES / bridge / "bridge").exists():
        return False
    run(["ip", "link", "delete", bridge])
    return True

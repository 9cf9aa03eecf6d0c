"""The bridge between the machines and the controller, and the one between the machines' second NICs."""

from __future__ import annotations

import json
from pathlib import Path

from contivpp.playground.machines.plan import MachinesError, Network, uplink_of
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
        raise MachinesError(
            f"a device called {network.bridge} exists and is not a bridge: set {network.settings.bridge}"
        )
    links = json.loads(run(["ip", "-4", "-json", "address", "show", "dev", network.bridge]))
    addresses = [f"{a['local']}/{a['prefixlen']}" for link in links for a in link.get("addr_info", ())]
    if addresses and addresses != [str(network.gateway)]:
        raise MachinesError(
            f"a bridge called {network.bridge} exists and has the address {addresses[0]}, so it is not the"
            f" playground's on {network.subnet}: set {network.settings.bridge}, or remove it"
        )
    up = any("UP" in link.get("flags", ()) for link in links)
    return up and addresses == [str(network.gateway)]


def uplink_is_there(network: Network) -> bool:
    """Tells whether the bridge of the second NICs is there, or none is wanted.

    Raises:
        MachinesError: A device of that name is there and is no bridge, or carries what is not the playground's.
    """
    if not network.uplink_bridge:
        return True
    device = _DEVICES / network.uplink_bridge
    if not device.exists():
        return False
    advice = f"set {network.settings.uplink_bridge}"
    if not (device / "bridge").exists():
        raise MachinesError(f"a device called {network.uplink_bridge} exists and is not a bridge: {advice}")
    links = json.loads(run(["ip", "-4", "-json", "address", "show", "dev", network.uplink_bridge]))
    if addresses := [a["local"] for link in links for a in link.get("addr_info", ())]:
        raise MachinesError(
            f"a bridge called {network.uplink_bridge} exists and has the address {addresses[0]}, so it is not the"
            f" playground's: {advice}, or remove it"
        )
    strangers = sorted(port.name for port in (device / "brif").iterdir() if not port.name.startswith(uplink_of("")))
    if strangers:
        raise MachinesError(
            f"{network.uplink_bridge} joins {strangers[0]} already, so it is not the playground's: {advice}"
        )
    return any("UP" in link.get("flags", ()) for link in links)


def make_uplink(network: Network) -> None:
    """Makes the bridge of the second NICs; the controller is not on it."""
    if not (_DEVICES / network.uplink_bridge).exists():
        run(["ip", "link", "add", network.uplink_bridge, "type", "bridge"])
    # No address comes by itself, and nothing that the machines say to many of them is held back.
    run(["ip", "link", "set", network.uplink_bridge, "addrgenmode", "none"])
    run(["ip", "link", "set", network.uplink_bridge, "type", "bridge", "mcast_snooping", "0"])
    run(["ip", "link", "set", network.uplink_bridge, "up"])


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

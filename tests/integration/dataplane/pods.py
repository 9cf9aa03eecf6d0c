"""Network namespaces beside VPP's, with a pair of links between: what sends and receives in tests of packets."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator

from tests.integration.cluster import ip

_CLONE_NEWNET = 0x40000000
_NO_CHECKSUM = 11  # SO_NO_CHECK


class Pod:
    """One namespace; `link` is the end of its pair in VPP's namespace, eth0 the other one."""

    def __init__(self, name: str, link: str, mac: str) -> None:
        self.name = name
        self.link = link
        self.mac = mac

    def ip(self, *words: str) -> str:
        """Runs `ip` inside."""
        return ip(*words, netns=self.name)

    def has(self, address: str, *, gateway: str = "") -> None:
        """Gives it an address, and a default route."""
        self.ip("addr", "add", address, "dev", "eth0")
        if gateway:
            self.ip("route", "add", "default", "via", gateway)

    def ping(self, address: str, count: int = 3) -> bool:
        """Whether all requests were answered."""
        words = ["ping", "-n", "-q", "-i", "0.1", "-W", "1", "-c", str(count), address]
        return (
            subprocess.run(["ip", "netns", "exec", self.name, *words], capture_output=True, check=False).returncode == 0
        )

    def raw(self) -> socket.socket:
        """A socket for whole frames of eth0."""
        made = in_namespace(self.name, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        made.bind(("eth0", 3))
        made.settimeout(2)
        return made

    def udp(self, port: int) -> socket.socket:
        """A socket for datagrams to a port; they leave without a checksum, which nobody would compute."""
        made = in_namespace(self.name, socket.AF_INET, socket.SOCK_DGRAM, 0)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.setsockopt(socket.SOL_SOCKET, _NO_CHECKSUM, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        made.bind(("0.0.0.0", port))
        made.settimeout(5)
        return made


def in_namespace(name: str, family: int, kind: int, protocol: int) -> socket.socket:
    """A socket of another namespace; the process stays where it is."""
    found: list[socket.socket] = []

    def make() -> None:
        with open(f"/run/netns/{name}", "rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            found.append(socket.socket(family, kind, protocol))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return found[0]


@contextlib.contextmanager
def pod_of(netns: str, number: int) -> Iterator[Pod]:
    """A pod whose link in `netns` is pod<number>; taken away at the end."""
    pod = Pod(f"contiv-pod-{os.getpid()}-{number}", f"pod{number}", f"02:fe:00:00:01:{number:02x}")
    ip("netns", "add", pod.name)
    try:
        ip("link", "add", pod.link, "netns", netns, "type", "veth", "peer", "name", "eth0", "netns", pod.name)
        ip("link", "set", pod.link, "up", netns=netns)
        pod.ip("link", "set", "lo", "up")
        pod.ip("link", "set", "eth0", "address", pod.mac, "up")
        yield pod
    finally:
        ip("netns", "del", pod.name)

"""Shared memory interfaces.

VPP does not say what rings a memif was asked to have, only what both ends agreed upon, and never its secret. So the
tag keeps the rings, and of the secret a digest: enough to see that it is still the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Any, Final

from contivpp.dataplane.vpp.api.errors import VppRefused
from contivpp.dataplane.vpp.descriptors.driver import Driver, Request
from contivpp.dataplane.vpp.descriptors.kinds.kind import NO_MAC, Kind
from contivpp.dataplane.vpp.descriptors.names import Interfaces, Tag
from contivpp.dataplane.vpp.values.memif import Memif, memif_socket_key
from contivpp.scheduler.api import Dependency

_ROLES: Final = ("master", "slave")
_MODES: Final = ("ethernet", "ip")
_DIGEST: Final = 8
_UNKNOWN: Final = "digest:"


class MemifKind(Kind):
    """Attributes of a memif are agreed upon when both ends meet, so nothing but MTU and MAC changes in place."""

    type = Memif
    plugin = "memif_plugin.so"
    identity = ("socket", "id")
    family = "memif"
    dump = ("memif_dump", {})
    mutable = frozenset({"mtu", "mac"})

    def __init__(self) -> None:
        """Knows no secret yet."""
        self._secrets: dict[str, str] = {}

    def dependencies(self, value: Memif, driver: Driver) -> Iterable[Dependency]:
        """The socket; VPP brings number 0."""
        if value.socket:
            yield Dependency("socket", memif_socket_key(value.socket))

    def create(self, value: Memif, interfaces: Interfaces) -> Request:
        """VPP takes the count of queues of a slave only."""
        self._secrets[value.name] = value.secret
        return "memif_create_v2", {
            "role": _ROLES.index(value.role),
            "mode": _MODES.index(value.mode),
            "rx_queues": value.queues,
            "tx_queues": value.queues,
            "id": value.id,
            "socket_id": value.socket,
            "ring_size": value.ring,
            "buffer_size": value.buffer,
            "hw_addr": value.mac or NO_MAC,
            "secret": value.secret,
        }

    def memo(self, value: Memif, interfaces: Interfaces) -> str:
        """What VPP does not say."""
        return f"{value.ring} {value.buffer} {value.queues} {_digest(value.name, value.secret)}".rstrip()

    def delete(self, value: Memif, interfaces: Interfaces) -> list[Request]:
        """By number."""
        return [("memif_delete", {"sw_if_index": interfaces.number(value.name)})]

    def change(self, before: Memif, value: Memif, number: int) -> list[Request] | None:
        """As for others; a secret that was read as a digest is compared by it."""
        if before.secret == _UNKNOWN + _digest(value.name, value.secret):
            self._secrets[value.name] = value.secret
            before = dataclasses.replace(before, secret=value.secret)
        return super().change(before, value, number)

    def value(self, tag: Tag, item: Any, details: Any | None, interfaces: Interfaces) -> Memif | None:
        """By its own dump and its tag."""
        words = tag.memo.split()
        if details is None or len(words) not in (3, 4) or not all(word.isdigit() for word in words[:3]):
            return None
        mode = _MODES[details.mode] if details.mode < len(_MODES) else "ethernet"
        return Memif(
            tag.name,
            details.socket_id,
            details.id,
            "slave" if details.role else "master",
            mac=str(item.l2_address) if mode == "ethernet" else "",
            mode="ip" if mode == "ip" else "ethernet",
            secret=self._secret(tag.name, words[3]) if len(words) > 3 else "",
            ring=int(words[0]),
            buffer=int(words[1]),
            queues=int(words[2]),
            mtu=item.mtu[0],
        )

    def explained(self, value: Memif, error: VppRefused) -> str:
        """Two of VPP's errors mean more than they say."""
        text = super().explained(value, error)
        match error.name:
            case "SUBIF_ALREADY_EXISTS":
                return f"{text}: socket {value.socket} has an interface {value.id}, or interfaces of the other role"
            case "SYSCALL_ERROR_4":
                return f"{text}: VPP cannot listen on socket {value.socket}: make the folder that it is to be in"
            case _:
                return text

    def _secret(self, name: str, digest: str) -> str:
        known = self._secrets.get(name, "")
        return known if _digest(name, known) == digest else _UNKNOWN + digest


def _digest(name: str, secret: str) -> str:
    return hashlib.sha256(f"{name} {secret}".encode()).hexdigest()[:_DIGEST] if secret else ""

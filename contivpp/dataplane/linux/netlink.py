"""Talking to the kernel: bursts of netlink messages in any network namespace, and dumps.

The socket is our own, because a burst is one system call for any number of messages and a socket belongs to the
namespace it was opened in. pyroute2 packs what is sent in bursts, which only `messages` knows; `dumps` reads.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

from contivpp.dataplane.linux.dumps import Answer, Dump

_CLONE_NEWNET: Final = 0x40000000
_REQUEST: Final = 0x1
_ACK: Final = 0x4
_DUMP: Final = 0x300
_INTERRUPTED: Final = 0x10
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_HEADER: Final = struct.Struct("=IHHII")
_SOL_NETLINK: Final = 270
_NETLINK_EXT_ACK: Final = 11
_NETLINK_CAP_ACK: Final = 10
_NETLINK_GET_STRICT_CHK: Final = 12
_RECEIVE: Final = 1 << 20
_BURST: Final = 64
_TIMEOUT: Final = 10.0
_libc = ctypes.CDLL(None, use_errno=True)


class NamespaceGoneError(Exception):
    """There is no network namespace at a path."""


class KernelError(Exception):
    """The kernel refused one message; `code` is the errno."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(text or f"{os.strerror(code)} ({errno.errorcode.get(code, code)})")
        self.code = code


@contextlib.contextmanager
def entered(path: str) -> Iterator[None]:
    """Runs a block in the network namespace at `path` ("" is this one); no await may be in it.

    Raises:
        NamespaceGoneError: there is none.
    """
    if not path:
        yield
        return
    try:
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NamespaceGoneError(f"there is no network namespace {path}") from error
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(target, _CLONE_NEWNET):
            code = ctypes.get_errno()
            if code == errno.EINVAL:
                raise NamespaceGoneError(f"{path} is not a network namespace")
            raise KernelError(code)
        try:
            yield
        finally:
            if _libc.setns(here, _CLONE_NEWNET):  # staying in a pod would be worse than ending
                os._exit(1)
    finally:
        os.close(target)
        os.close(here)


class Netlink:
    """One rtnetlink socket in one namespace."""

    def __init__(self, path: str = "", *, groups: int = 0) -> None:
        """Opens the socket in the namespace at `path`; `groups` are those of a monitor.

        Raises:
            NamespaceGoneError: there is no such namespace.
        """
        with entered(path):
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self.socket.settimeout(_TIMEOUT)
        self.socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self.socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self.socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((0, groups))
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the socket."""
        self.socket.close()

    def burst(self, messages: Sequence[Any]) -> list[KernelError | None]:
        """Sends messages at once; returns what the kernel said to each, in order."""
        answers: list[KernelError | None] = []
        for start in range(0, len(messages), _BURST):
            answers += self._burst(messages[start : start + _BURST])
        return answers

    def must(self, *messages: Any) -> None:
        """Sends messages that all have to work.

        Raises:
            KernelError: the first one that did not.
        """
        for answer in self.burst(messages):
            if answer is not None:
                raise answer

    def _burst(self, messages: Sequence[Any]) -> list[KernelError | None]:
        first = self._sequence + 1
        data = bytearray()
        for message in messages:
            self._sequence += 1
            message["header"]["flags"] |= _REQUEST | _ACK
            message["header"]["sequence_number"] = self._sequence
            message["header"]["pid"] = 0
            message.reset()
            message.encode()
            data += message.data
            data += bytes(-len(data) % 4)
        self.socket.send(data)
        answers: dict[int, KernelError | None] = {}
        while len(answers) < len(messages):
            for kind, _, sequence, payload in parts(self.socket.recv(_RECEIVE)):
                if kind == _NLMSG_ERROR and sequence >= first:
                    code = -struct.unpack_from("=i", payload)[0]
                    answers[sequence] = KernelError(code, _text(code, payload)) if code else None
        return [answers[first + number] for number in range(len(messages))]

    def index_of(self, message: Any) -> int:
        """The index in the answer to a request for one link; decodes nothing else of it.

        Raises:
            KernelError: there is no such link.
        """
        self._sequence += 1
        message["header"]["flags"] = _REQUEST
        message["header"]["sequence_number"] = self._sequence
        message["header"]["pid"] = 0
        message.reset()
        message.encode()
        self.socket.send(message.data)
        return int(struct.unpack_from("=i", self._answer(), 4)[0])

    def _answer(self) -> bytes:
        """What follows the header of the answer to the last request."""
        while True:
            for kind, _, sequence, payload in parts(self.socket.recv(_RECEIVE)):
                if sequence != self._sequence:
                    continue
                if kind == _NLMSG_ERROR:
                    code = -struct.unpack_from("=i", payload)[0]
                    raise KernelError(code, _text(code, payload))
                return payload

    def ask(self, question: Dump) -> Answer:
        """The answer to a request for one entry.

        Raises:
            KernelError: there is none.
        """
        self._sequence += 1
        length = _HEADER.size + len(question.request)
        self.socket.send(_HEADER.pack(length, question.type, _REQUEST, self._sequence, 0) + question.request)
        return question.answer(self._answer())

    def dump(self, table: Dump) -> list[Answer]:
        """Every entry of a table."""
        for _ in range(5):
            with contextlib.suppress(InterruptedError):
                return self._dump(table)
        raise KernelError(errno.EINTR, "the kernel's tables change faster than they can be read")

    def _dump(self, table: Dump) -> list[Answer]:
        self._sequence += 1
        length = _HEADER.size + len(table.request)
        self.socket.send(_HEADER.pack(length, table.type, _REQUEST | _DUMP, self._sequence, 0) + table.request)
        found: list[Answer] = []
        interrupted = 0
        while True:
            for kind, flags, sequence, payload in parts(self.socket.recv(_RECEIVE)):
                if sequence != self._sequence:
                    continue
                interrupted |= flags & _INTERRUPTED
                if kind == _NLMSG_ERROR:
                    code = -struct.unpack_from("=i", payload)[0]
                    raise KernelError(code, _text(code, payload))
                if kind == _NLMSG_DONE:
                    if interrupted:
                        raise InterruptedError
                    return found
                found.append(table.answer(payload))


def parts(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and payload of every message."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _text(code: int, payload: bytes) -> str:
    """The errno in words, with what the kernel says about it (extended acknowledgement, attribute 1)."""
    base = f"{os.strerror(code)} ({errno.errorcode.get(code, code)})"
    offset = 4 + _HEADER.size
    while offset + 4 <= len(payload):
        length, kind = struct.unpack_from("=HH", payload, offset)
        if length < 4:
            break
        if kind & 0x3FFF == 1:
            return f"{base}: {payload[offset + 4 : offset + length].rstrip(bytes(1)).decode(errors='replace')}"
        offset += (length + 3) & ~3
    return base

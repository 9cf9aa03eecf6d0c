"""libnftables, bound to a network namespace: commands as text, listings as JSON.

The library is called in the process: one element costs about a millisecond, where starting the program would cost
several. A context keeps the netlink socket that it opened, and with it the namespace; calls take turns. Commands that
are given at once are one transaction: all of them or none.
"""

from __future__ import annotations

import ctypes
import socket
import threading
from typing import Any, Final

import msgspec

from contivpp.dataplane.linux.netlink import entered

_LIBRARY: Final = "libnftables.so.1"
_NETLINK_NETFILTER: Final = 12
_STATELESS: Final = 1 << 2
_HANDLES: Final = 1 << 3
_JSON: Final = 1 << 4
_NUMERIC_PROTOCOLS: Final = 1 << 7
_NUMERIC_PRIORITIES: Final = 1 << 8
_TERSE: Final = 1 << 11
_TEXT: Final = _STATELESS | _HANDLES | _NUMERIC_PRIORITIES | _TERSE
_LISTING: Final = _JSON | _NUMERIC_PROTOCOLS | _NUMERIC_PRIORITIES


class NftError(Exception):
    """The kernel or the library refused a transaction; the text is the first reason."""


class UnavailableError(NftError):
    """There is no library, or the kernel has nothing for it."""


class Nftables:
    """One context of the library in the namespace of a node; safe to use from any thread."""

    def __init__(self, netns: str = "") -> None:
        """Takes the path of the namespace, "" for that of this process; opens nothing yet."""
        self._netns = netns
        self._lock = threading.Lock()
        self._library: Any = None
        self._context: int | None = None

    def close(self) -> None:
        """Closes the socket."""
        with self._lock:
            if self._context is not None:
                self._library.nft_ctx_free(self._context)
                self._context = None

    def run(self, commands: str) -> None:
        """Carries out commands, one a line, as one transaction.

        Raises:
            NftError: nothing was changed.
        """
        with self._lock:
            self._call(commands, 0)

    def list(self, command: str) -> list[dict[str, Any]]:
        """What a listing command finds: objects, each under the name of its kind.

        None when there is no such table, and where nothing can have made one: without the library, or a kernel for it.

        Raises:
            NftError: it cannot be read.
        """
        with self._lock:
            try:
                output = self._call(command, _LISTING)
            except UnavailableError:
                return []
            except NftError as error:
                if is_gone(str(error)):
                    return []
                raise
        return msgspec.json.decode(output)["nftables"] if output else []

    def text(self, command: str) -> str:
        """What a listing command prints: as people write it, with handles, without what is in sets.

        Raises:
            NftError: there is no such thing, or it cannot be read.
        """
        with self._lock:
            return self._call(command, _TEXT).decode(errors="replace")

    def _call(self, commands: str, flags: int) -> bytes:
        library, context = self._open()
        library.nft_ctx_output_set_flags(context, flags)
        failed = library.nft_run_cmd_from_buffer(context, commands.encode())
        output = library.nft_ctx_get_output_buffer(context) or b""
        problem = library.nft_ctx_get_error_buffer(context) or b""
        if failed:
            raise NftError(_reason(problem.decode(errors="replace")))
        return bytes(output)

    def _open(self) -> tuple[Any, int]:
        if self._context is None:
            try:
                self._library = _declared(ctypes.CDLL(_LIBRARY))
            except OSError as error:
                message = f"{_LIBRARY} cannot be loaded: install the package nftables ({error})"
                raise UnavailableError(message) from error
            with entered(self._netns):
                _check_kernel()  # where it fails, the library ends the process
                self._context = self._library.nft_ctx_new(0)
            if not self._context:
                self._context = None
                raise UnavailableError("the kernel's nf_tables cannot be opened")
            self._library.nft_ctx_buffer_output(self._context)
            self._library.nft_ctx_buffer_error(self._context)
        return self._library, self._context


def _check_kernel() -> None:
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER).close()
    except OSError as error:
        message = f"the kernel has no netfilter: {error}"
        raise UnavailableError(message) from error


def is_gone(error: str) -> bool:
    """Whether a refusal means that what was named is not there."""
    return "No such file or directory" in error


def is_in_use(error: str) -> bool:
    """Whether a refusal means that something else still needs what was to go."""
    return "Device or resource busy" in error


def _reason(text: str) -> str:
    """The first sentence of an error message, without the place in the text."""
    for line in text.splitlines():
        _, found, reason = line.partition("Error: ")
        if found:
            return reason.strip()
    return text.strip() or "refused without a reason"


def _declared(library: Any) -> Any:
    """The library with the types of what is used of it."""
    context = ctypes.c_void_p
    library.nft_ctx_new.restype = context
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_output_set_flags.argtypes = [context, ctypes.c_uint]
    library.nft_run_cmd_from_buffer.argtypes = [context, ctypes.c_char_p]
    for name in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [context]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = [context]
        getattr(library, name).restype = ctypes.c_char_p
    return library

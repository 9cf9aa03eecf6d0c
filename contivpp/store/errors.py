"""What can go wrong with the store, translated once from gRPC at the edge.

`StoreUnavailable` is the only one that passes by itself: callers wait and try again. Everything else
needs somebody to mend something, and whoever does not know what to do with it should stop.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import grpc

from contivpp.store.types import Guard


class StoreError(Exception):
    """The store refused or failed a request for a reason that is none of the more specific ones."""


class StoreUnavailable(StoreError):
    """etcd cannot be reached or has no leader. A write may have been carried out unless `unsent`."""

    def __init__(self, reason: str, *, unsent: bool = False) -> None:
        super().__init__(reason)
        self.unsent = unsent


class StoreTimeout(StoreUnavailable):
    """No answer within the deadline; nobody knows whether a write was carried out."""


class CertificateError(StoreUnavailable):
    """TLS with etcd fails: one side does not accept the other's certificate."""


class PermissionDenied(StoreError):
    """etcd knows who asks and does not allow it."""


class StoreFull(StoreError):
    """etcd accepts no writes: its space quota is used up (compact, defragment, disarm the alarm)."""


class GuardFailed(StoreError):
    """A batch was not carried out, because these conditions did not hold."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        super().__init__("not so: " + ", ".join(str(guard) for guard in guards))
        self.guards = tuple(guards)


class RevisionGone(StoreError):
    """The revision asked for is compacted away, or lies in the future (etcd was wiped or restored)."""

    def __init__(self, reason: str, *, compact_revision: int = 0) -> None:
        super().__init__(reason)
        self.compact_revision = compact_revision


class AllocationError(StoreError):
    """No ID could be allocated: none is free, or others were faster for too long."""


_UNSENT = re.compile(
    r"failed to connect|connections to all backends failing|DNS resolution failed|name resolution", re.IGNORECASE
)
_CERTIFICATE = re.compile(r"certificate|handshake failed|ssl|hostname verification|TSI_", re.IGNORECASE)
_CONNECTION_LOST = re.compile(  # what gRPC says of itself
    r"RST_STREAM|stream removed|transport|socket closed|GOAWAY|no leader"
    r"|internal error from core",  # grpc.aio, when a stream ended at the moment that something was sent on it
    re.IGNORECASE,
)


def translate(error: grpc.aio.AioRpcError, where: str) -> StoreError:
    """The domain error for a failed call to the endpoint `where`."""
    code, details = error.code(), error.details() or ""
    text = f"etcd at {where}: {details or code.name}"
    match code:
        case grpc.StatusCode.UNAVAILABLE if "request timed out" in details:
            return StoreTimeout(text)
        case grpc.StatusCode.UNAVAILABLE if _CERTIFICATE.search(details):
            return CertificateError(text, unsent=True)
        case grpc.StatusCode.UNAVAILABLE:
            return StoreUnavailable(text, unsent=bool(_UNSENT.search(details)))
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return StoreTimeout(f"etcd at {where}: no answer within the deadline")
        case grpc.StatusCode.PERMISSION_DENIED | grpc.StatusCode.UNAUTHENTICATED:
            return PermissionDenied(text)
        case grpc.StatusCode.INVALID_ARGUMENT if "user name is empty" in details:
            return PermissionDenied(f"{text} (etcd demands authentication and this client has no user)")
        case grpc.StatusCode.OUT_OF_RANGE:
            return RevisionGone(text)
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "space" in details:
            return StoreFull(text)
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "too many requests" in details:
            return StoreUnavailable(text, unsent=True)
        case grpc.StatusCode.CANCELLED:
            return StoreUnavailable(text)
        case grpc.StatusCode.INTERNAL if _CONNECTION_LOST.search(details):
            return StoreUnavailable(text)
        case grpc.StatusCode.UNKNOWN:
            # Refusals have names in etcd and codes of their own. What it gives no code ended inside it, and is
            # not about the request: a context that was cut off, raft that stopped, a lessor that does not lead.
            return StoreUnavailable(f"{text} ({code.name})")
        case _:
            return StoreError(f"{text} ({code.name})")

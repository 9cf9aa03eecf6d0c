"""Which failed calls pass by themselves, so that callers wait, and which do not."""

from __future__ import annotations

import grpc
import pytest

from contivpp.store.errors import PermissionDenied, StoreError, StoreFull, StoreTimeout, StoreUnavailable, translate


def failed(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses", StoreUnavailable),
        (grpc.StatusCode.UNAVAILABLE, "etcdserver: request timed out", StoreTimeout),
        (grpc.StatusCode.UNKNOWN, "Stream removed", StoreUnavailable),
        (grpc.StatusCode.UNKNOWN, "context deadline exceeded", StoreUnavailable),
        (grpc.StatusCode.UNKNOWN, "raft: stopped", StoreUnavailable),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2", StoreUnavailable),
        (grpc.StatusCode.INTERNAL, "Internal error from Core", StoreUnavailable),
        (grpc.StatusCode.INTERNAL, "etcdserver: corrupt cluster", StoreError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", StoreFull),
        (grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied", PermissionDenied),
    ],
)
def test_a_lost_connection_is_told_from_an_error_that_stays(
    code: grpc.StatusCode, details: str, kind: type[StoreError]
) -> None:
    error = translate(failed(code, details), "127.0.0.1:2379")
    assert type(error) is kind
    assert "127.0.0.1:2379" in str(error)

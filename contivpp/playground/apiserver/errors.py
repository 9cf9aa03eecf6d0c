"""Errors of the API, each of which becomes a `Status` object as Kubernetes writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Object = dict[str, Any]


class ApiError(Exception):
    """A request that was refused.

    Attributes:
        code: the HTTP status.
        reason: one word for programs, such as "NotFound".
        details: what the `Status` object says of the subject.
    """

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def status(self) -> Object:
        """The error as a `Status` object."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


def _qualified(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(group: str, kind: str, name: str, **more: Any) -> Object:
    return {"name": name, "group": group, "kind": kind, **more}


def not_found(group: str, plural: str, name: str) -> ApiError:
    """There is no such object."""
    message = f'{_qualified(group, plural)} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(group, plural, name))


def no_such_path() -> ApiError:
    """There is no such path, or resource."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(group: str, plural: str, name: str) -> ApiError:
    """An object of that name is there."""
    message = f'{_qualified(group, plural)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> ApiError:
    """The object is no longer what the client believes it to be."""
    message = f'Operation cannot be fulfilled on {_qualified(group, plural)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(group, plural, name))


def bad_request(message: str) -> ApiError:
    """The request makes no sense."""
    return ApiError(400, "BadRequest", message)


def forbidden(group: str, plural: str, name: str, why: str, causes: Sequence[Object] = ()) -> ApiError:
    """The request is understood, and refused."""
    message = f'{_qualified(group, plural)} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, _details(group, plural, name, causes=list(causes)))


def invalid(group: str, kind: str, name: str, problems: Sequence[tuple[str, str]]) -> ApiError:
    """The object breaks rules; `problems` are pairs of field and sentence."""
    causes = [{"reason": "FieldValueInvalid", "field": field, "message": text} for field, text in problems]
    texts = [f"{field}: {text}" for field, text in problems]
    said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    message = f'{_qualified(group, kind)} "{name}" is invalid: {said}'
    return ApiError(422, "Invalid", message, _details(group, kind, name, causes=causes))


def expired(message: str) -> ApiError:
    """The revision asked for is no longer remembered: list again."""
    return ApiError(410, "Expired", message)


def method_not_allowed(method: str) -> ApiError:
    """The resource has no such verb."""
    return ApiError(405, "MethodNotAllowed", f"the server does not allow {method} on the requested resource")


def unsupported_media_type(kind: str, supported: Sequence[str]) -> ApiError:
    """The body is written in a way that is not understood."""
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(supported)}"
    return ApiError(415, "UnsupportedMediaType", f"{message} (not {kind})" if kind else message)

"""What handlers of REST requests share: reading the body, and saying why not."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from aiohttp import web

from contivpp.daemon.http import json_response

T = TypeVar("T")


async def decoded(request: web.Request, kind: type[T]) -> T:
    """The body of a request.

    Raises:
        ValueError: it is not of that type; the server answers 400 with the reason.
    """
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        message = f"the request is not understood: {error}"
        raise ValueError(message) from error


def problem(status: int, sentence: str) -> web.Response:
    """The answer that says why something was not done."""
    return json_response({"Error": sentence}, status=status)

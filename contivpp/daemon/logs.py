"""Logs to standard error, where systemd collects them: one line per event, or one JSON object."""

from __future__ import annotations

import logging
import sys
import time

import msgspec

LEVELS = ("debug", "info", "warning", "error")


def configure(program: str, level: str = "info", *, json: bool = False) -> None:
    """Sets up the root logger.

    Raises:
        ValueError: no such level.
    """
    if level not in LEVELS:
        message = f"no such log level {level!r}: one of {', '.join(LEVELS)}"
        raise ValueError(message)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(program) if json else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("aiohttp.access", "asyncio", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime


class _Json(logging.Formatter):
    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": record.created,
            "program": self._program,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()

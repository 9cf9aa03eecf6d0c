"""http.client.conf: how agents are asked over HTTP. Source: spec/cluster.md 3.1.

The port is 9999 when nothing is said (the original leaves it empty, which no server answers), and the
certificate of a server is verified unless the file says otherwise.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml

from contivpp.netctl.errors import UsageError

DEFAULT_PORT: Final = 9999
_LAST_PORT: Final = 65535
_OPTIONS: Final = ("port", "use-https", "basic-auth", "verify-server-cert")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpClientConfig:
    """How to ask an agent; `basic_auth` is user and password."""

    port: int = DEFAULT_PORT
    use_https: bool = False
    basic_auth: tuple[str, str] | None = None
    verify_server_cert: bool = True

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads the file.

        Raises:
            UsageError: with the option and the remedy.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not text"
            raise UsageError(
                f"{path}: cannot be read ({reason}): create it, or name another with --http-client-config"
            ) from error
        return cls.parse(text, source=str(path))

    @classmethod
    def parse(cls, text: str, *, source: str = "http.client.conf") -> Self:
        """Reads the text of the file; see `load`."""
        try:
            tree = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"{source}: is not YAML: {' '.join(str(error).split())}") from error
        if tree is None:
            tree = {}
        if not isinstance(tree, dict):
            raise UsageError(f'{source}: must be a mapping of options, such as `port: "{DEFAULT_PORT}"`')
        values: dict[str, Any] = {}
        for option, value in tree.items():
            if option not in _OPTIONS:
                raise UsageError(f"{source}: {option}: there is no such option; {_near(str(option))}")
            if value is not None:
                values[option.replace("-", "_")] = _READERS[option](f"{source}: {option}", value)
        return cls(**values)

    def url(self, host: str, path: str) -> str:
        """The URL of `path` on a node; IPv6 addresses get their brackets."""
        scheme = "https" if self.use_https else "http"
        address = f"[{host}]" if ":" in host else host
        return f"{scheme}://{address}:{self.port}/{path.lstrip('/')}"


def _near(option: str) -> str:
    close = difflib.get_close_matches(option.replace("_", "-").lower(), _OPTIONS, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(_OPTIONS)}"


def _port(place: str, value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or not 0 < int(text) <= _LAST_PORT:
        raise UsageError(f'{place}: must be a port, such as "{DEFAULT_PORT}", not {value!r}')
    return int(text)


def _boolean(place: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{place}: must be true or false, not {value!r}")
    return value


def _basic_auth(place: str, value: object) -> tuple[str, str]:
    user, colon, password = str(value).partition(":")
    if not isinstance(value, str) or not user or not colon:
        raise UsageError(f'{place}: must be "user:password"')  # the value is a secret: not shown
    return user, password


_READERS: Final = {
    "port": _port,
    "use-https": _boolean,
    "basic-auth": _basic_auth,
    "verify-server-cert": _boolean,
}

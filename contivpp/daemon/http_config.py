"""http.conf: where a daemon listens, with the option names of the original (spec/cluster.md 12.2).

A mistake is an `HttpConfigError` that names the file, the option and the remedy.
"""

from __future__ import annotations

import base64
import difflib
import hmac
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import yaml

_LAST_PORT: Final = 65535
_ENDPOINT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]*):([0-9]{1,5})")
_OPTIONS: Final = ("endpoint", "server-cert-file", "server-key-file", "client-cert-files", "client-basic-auth")
_OF_THE_ORIGINAL: Final = (
    "read-timeout",
    "read-header-timeout",
    "write-timeout",
    "idle-timeout",
    "max-header-bytes",
)


class HttpConfigError(Exception):
    """http.conf cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """Where to listen; `basic_auth` are the accepted "user:password", none means everybody."""

    address: str = "0.0.0.0"  # noqa: S104 - as the original: probes come from everywhere
    port: int = 9191
    server_cert_file: Path | None = None
    server_key_file: Path | None = None
    client_cert_files: tuple[Path, ...] = ()
    basic_auth: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, default_port: int) -> Self:
        """Reads the file; relative paths in it are relative to its folder.

        Raises:
            HttpConfigError: with the option and the remedy.
        """
        file = Path(path)
        try:
            tree = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise HttpConfigError(f"{file}: cannot be read ({error.strerror}): create it") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise HttpConfigError(f"{file}: is not YAML: {' '.join(str(error).split())}") from error
        return cls.parse(tree, source=str(file), folder=file.parent, default_port=default_port)

    @classmethod
    def parse(cls, tree: object, *, source: str = "http.conf", folder: Path = Path(), default_port: int = 9191) -> Self:
        """Checks the content of the file; see `load`."""
        if tree is None:
            tree = {}
        if not isinstance(tree, dict):
            raise HttpConfigError(f"{source}: must be a mapping of options, such as `endpoint: 0.0.0.0:9191`")
        config = cls(port=default_port)
        for option, value in tree.items():
            if option in _OF_THE_ORIGINAL or value is None:
                continue  # the server here has no such limit to set
            if option not in _OPTIONS:
                close = difflib.get_close_matches(str(option).replace("_", "-"), _OPTIONS, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(_OPTIONS)}"
                raise HttpConfigError(f"{source}: {option}: no such option; {hint}")
            try:
                config = replace(config, **_read(option, value, folder))
            except ValueError as error:
                raise HttpConfigError(f"{source}: {option}: {error}") from error
        if (config.server_cert_file is None) != (config.server_key_file is None):
            raise HttpConfigError(f"{source}: server-cert-file and server-key-file belong together: name both")
        if config.client_cert_files and config.server_cert_file is None:
            raise HttpConfigError(f"{source}: client-cert-files needs server-cert-file and server-key-file")
        return config

    def allows(self, authorization: str) -> bool:
        """Whether the value of an Authorization header is one of the accepted ones."""
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = base64.b64decode(credentials, validate=True)
        except ValueError:
            return False
        return any(hmac.compare_digest(given, accepted.encode()) for accepted in self.basic_auth)


def _read(option: str, value: Any, folder: Path) -> dict[str, Any]:
    match option:
        case "endpoint":
            found = _ENDPOINT.fullmatch(str(value))
            if found is None or int(found[2]) > _LAST_PORT:
                raise ValueError(f"{value!r} is not address:port, such as 0.0.0.0:9191")
            return {"address": found[1].strip("[]") or "0.0.0.0", "port": int(found[2])}  # noqa: S104
        case "client-cert-files" | "client-basic-auth":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ValueError("must be a list of texts")
            if option == "client-cert-files":
                return {"client_cert_files": tuple(folder / item for item in value)}
            if any(":" not in item for item in value):
                raise ValueError('every entry must be "user:password"')
            return {"basic_auth": tuple(value)}
        case _:
            if not isinstance(value, str) or not value:
                raise ValueError("must be the path of a file")
            if not (folder / value).is_file():
                raise ValueError(f"{folder / value} does not exist")
            return {option.replace("-", "_"): folder / value}

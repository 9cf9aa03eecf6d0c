"""etcd.conf: how to reach etcd, with the option names of the original (spec/cluster.md 12.1).

Durations are whole nanoseconds in the file and seconds here. Every mistake is an `EtcdConfigError` that
names the file, the option and the remedy, and is found when the file is read, not when etcd is needed.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml

NANOSECONDS: Final = 1_000_000_000
SHORTEST_TIMEOUT: Final = 1_000_000
DEFAULT_ENDPOINT: Final = "127.0.0.1:2379"
_ENDPOINT = re.compile(r"(?:(https?)://)?(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})/?")
_LAST_PORT: Final = 65535


class EtcdConfigError(Exception):
    """etcd.conf cannot be used. `option` names the line to change (None: the file as a whole)."""

    def __init__(self, source: str, option: str | None, problem: str) -> None:
        super().__init__(f"{source}: {option}: {problem}" if option else f"{source}: {problem}")
        self.source = source
        self.option = option
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdConfig:
    """How to reach etcd; durations are in seconds.

    `endpoints` are `host:port`. `session_ttl` 0 leaves the life time of an election's lease to the store;
    `auto_compact` 0 means never. `delayed_start` and `resync_after_reconnect` are accepted for the
    original's files: this store always starts without etcd and always ends in sync.
    """

    endpoints: tuple[str, ...] = (DEFAULT_ENDPOINT,)
    dial_timeout: float = 1.0
    operation_timeout: float = 3.0
    insecure_transport: bool = False
    insecure_skip_tls_verify: bool = False
    cert_file: Path | None = None
    key_file: Path | None = None
    ca_file: Path | None = None
    auto_compact: float = 0.0
    resync_after_reconnect: bool = False
    allow_delayed_start: bool = False
    reconnect_interval: float = 2.0
    expand_env_variables: bool = False
    session_ttl: int = 0

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, environ: Mapping[str, str] = os.environ) -> Self:
        """Reads etcd.conf; relative certificate paths are relative to the folder of the file.

        Raises:
            EtcdConfigError: the file, an option or a certificate cannot be used.
        """
        file = Path(path)
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise EtcdConfigError(
                str(file),
                None,
                f"cannot be read ({error.strerror}): create it, or name another with --etcd-config",
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise EtcdConfigError(str(file), None, f"is not YAML: {error}") from error
        return cls.parse(content, source=str(file), folder=file.parent, environ=environ)

    @classmethod
    def parse(
        cls,
        content: object,
        *,
        source: str = "etcd.conf",
        folder: Path = Path(),
        environ: Mapping[str, str] = os.environ,
    ) -> Self:
        """Checks the content of an etcd.conf that was read from `source`; None means an empty file."""
        if content is None:
            content = {}
        if not isinstance(content, dict):
            raise EtcdConfigError(source, None, "must be a mapping of options, such as `endpoints: [127.0.0.1:2379]`")
        values: dict[str, Any] = {}
        for option, value in content.items():
            reader = _OPTIONS.get(option)
            if reader is None:
                raise EtcdConfigError(source, str(option), _unknown(str(option)))
            if value is None:
                continue
            name, convert = reader
            try:
                values[name] = convert(value)
            except ValueError as error:
                raise EtcdConfigError(source, option, str(error)) from error
        values["endpoints"] = _resolve_endpoints(values, source, environ)
        for name in ("cert_file", "key_file", "ca_file"):
            if values.get(name):
                values[name] = folder / values[name]
        config = cls(**values)
        _check_endpoints(config, source)
        _check_certificates(config, source)
        return dataclasses.replace(config, endpoints=tuple(_bare(endpoint) for endpoint in config.endpoints))


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r}")
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"must be a whole number, not {value!r}")
    return value


def _timeout(value: object) -> float:
    nanoseconds = _whole(value)
    if nanoseconds < SHORTEST_TIMEOUT:
        raise ValueError(
            f"is in nanoseconds, and {nanoseconds} of them are too short: for {nanoseconds or 1} s "
            f"write {(nanoseconds or 1) * NANOSECONDS}"
        )
    return nanoseconds / NANOSECONDS


def _period(value: object) -> float:
    return _timeout(value) if value else 0.0


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be the path of a file, not {value!r}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ValueError(f"must be a list of host:port, such as [10.0.0.1:2379], not {value!r}")
    return tuple(value)


_OPTIONS: Final[Mapping[str, tuple[str, Callable[[object], Any]]]] = {
    "endpoints": ("endpoints", _texts),
    "dial-timeout": ("dial_timeout", _timeout),
    "operation-timeout": ("operation_timeout", _timeout),
    "insecure-transport": ("insecure_transport", _boolean),
    "insecure-skip-tls-verify": ("insecure_skip_tls_verify", _boolean),
    "cert-file": ("cert_file", _text),
    "key-file": ("key_file", _text),
    "ca-file": ("ca_file", _text),
    "auto-compact": ("auto_compact", _period),
    "resync-after-reconnect": ("resync_after_reconnect", _boolean),
    "allow-delayed-start": ("allow_delayed_start", _boolean),
    "delayed-start": ("allow_delayed_start", _boolean),
    "reconnect-interval": ("reconnect_interval", _timeout),
    "expand-env-variables": ("expand_env_variables", _boolean),
    "session-ttl": ("session_ttl", _whole),
}


def _unknown(option: str) -> str:
    close = difflib.get_close_matches(option.replace("_", "-"), _OPTIONS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(_OPTIONS))}"
    return f"no such option; {hint}"


def _resolve_endpoints(values: Mapping[str, Any], source: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    endpoints: tuple[str, ...] | None = values.get("endpoints")
    if endpoints is None:
        listed = environ.get("ETCD_ENDPOINTS", "")
        endpoints = tuple(part.strip() for part in listed.split(",") if part.strip()) or (DEFAULT_ENDPOINT,)
    if not values.get("expand_env_variables"):
        return endpoints

    def variable(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in environ:
            raise EtcdConfigError(source, "endpoints", f"the environment has no variable {name}: set it")
        return environ[name]

    return tuple(re.sub(r"\$(?:\{(\w+)\}|(\w+))", variable, endpoint) for endpoint in endpoints)


def _check_endpoints(config: EtcdConfig, source: str) -> None:
    for endpoint in config.endpoints:
        match = _ENDPOINT.fullmatch(endpoint)
        if match is None or not 0 < int(match[3]) <= _LAST_PORT:
            raise EtcdConfigError(source, "endpoints", f"{endpoint!r} is not host:port (IPv6 as [address]:port)")
        if match[1] == "https" and config.insecure_transport:
            raise EtcdConfigError(source, "endpoints", f"{endpoint} asks for TLS, and insecure-transport is true")
        if match[1] == "http" and not config.insecure_transport:
            raise EtcdConfigError(
                source, "endpoints", f"{endpoint} asks for no TLS: set insecure-transport: true, or write https"
            )


def _bare(endpoint: str) -> str:
    return endpoint.partition("://")[2].rstrip("/") if "://" in endpoint else endpoint


def _check_certificates(config: EtcdConfig, source: str) -> None:
    files = {"ca-file": config.ca_file, "cert-file": config.cert_file, "key-file": config.key_file}
    given = {option: file for option, file in files.items() if file is not None}
    if config.insecure_transport:
        for option in given:
            raise EtcdConfigError(source, option, "has no use with insecure-transport: true: remove one of the two")
        return
    for option, other in (("cert-file", "key-file"), ("key-file", "cert-file")):
        if option in given and other not in given:
            raise EtcdConfigError(source, other, f"is missing: {option} is given, and it takes both or none")
    for option, file in given.items():
        try:
            file.read_bytes()
        except OSError as error:
            raise EtcdConfigError(source, option, f"{file} cannot be read ({error.strerror})") from error
    tls_context(config, source)


def tls_context(config: EtcdConfig, source: str = "etcd.conf") -> ssl.SSLContext:
    """A context of the standard library with these certificates, to check and to diagnose them."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    if config.ca_file is not None:
        try:
            context.load_verify_locations(cafile=config.ca_file)
        except ssl.SSLError as error:
            raise EtcdConfigError(source, "ca-file", f"{config.ca_file} holds no certificate in PEM form") from error
    if config.cert_file is not None:
        try:
            context.load_cert_chain(config.cert_file, config.key_file, password=_no_password)
        except ssl.SSLError as error:
            if "MISMATCH" in (error.reason or ""):
                problem = f"{config.key_file} is not the key of the certificate in cert-file {config.cert_file}"
                raise EtcdConfigError(source, "key-file", f"{problem}: name the pair that belongs together") from error
            raise EtcdConfigError(
                source,
                "cert-file",
                f"{config.cert_file} and key-file {config.key_file} are not a certificate "
                f"and an unencrypted key in PEM form ({error.reason})",
            ) from error
        except ValueError as error:
            raise EtcdConfigError(source, "key-file", str(error)) from error
    return context


def _no_password() -> str:
    raise ValueError("is encrypted with a password: give an unencrypted key that only its user can read")

"""What the agent is told from outside: options, or environment variables, and the files they name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contivpp.daemon.http_config import HttpConfig, HttpConfigError
from contivpp.model.config import ContivConfig
from contivpp.model.controller_config import ControllerConfig
from contivpp.model.options import ConfigError
from contivpp.store.config import EtcdConfig, EtcdConfigError

HTTP_PORT = 9999
VPP_SOCKET = Path("/run/vpp/api.sock")


class SettingsError(Exception):
    """The agent cannot start as it is told to; one sentence per mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that is decided before the agent starts.

    Attributes:
        config_socket: where other programs say what they want of this node.
        vpp_socket: of VPP's binary API.
        vpp_stats_socket: where VPP hands out its statistics; None: beside its API socket.
        netns: path of the network namespace that is the node; "" is the agent's own.
    """

    node_name: str
    config: ContivConfig
    controller: ControllerConfig
    etcd: EtcdConfig
    http: HttpConfig
    state_dir: Path
    cni_socket: Path
    config_socket: Path
    vpp_socket: Path = VPP_SOCKET
    vpp_stats_socket: Path | None = None
    netns: str = ""


def load(
    *,
    node_name: str,
    contiv_config: Path | None,
    controller_config: Path | None,
    etcd_config: Path | None,
    http_config: Path | None,
    state_dir: Path,
    cni_socket: Path,
    config_socket: Path | None = None,
    vpp_socket: Path = VPP_SOCKET,
    vpp_stats_socket: Path | None = None,
    netns: str = "",
) -> Settings:
    """Reads the files; one that is not named means defaults, and the config socket's is beside the CNI socket.

    Raises:
        SettingsError: with every mistake of the first file that has any.
    """
    if not node_name:
        raise SettingsError("--microservice-label (MICROSERVICE_LABEL) is missing: the node's name in Kubernetes")
    try:
        source = _name(contiv_config, "contiv.conf")
        config = ContivConfig.parse(_read(contiv_config), node_name=node_name, source=source)
        controller = ControllerConfig.parse(
            _read(controller_config), source=_name(controller_config, "controller.conf")
        )
        etcd = EtcdConfig.load(etcd_config) if etcd_config else EtcdConfig.parse(None, source="the defaults")
        http = (
            HttpConfig.load(http_config, default_port=HTTP_PORT)
            if http_config
            else HttpConfig.parse(None, default_port=HTTP_PORT)
        )
    except (ConfigError, EtcdConfigError, HttpConfigError) as error:
        raise SettingsError(str(error)) from error
    if sentences := config.unsupported():
        raise SettingsError("; ".join(f"{source}: {one}" for one in sentences))
    return Settings(
        node_name=node_name,
        config=config,
        controller=controller,
        etcd=etcd,
        http=http,
        state_dir=state_dir,
        cni_socket=cni_socket,
        config_socket=config_socket or cni_socket.with_name("config.sock"),
        vpp_socket=vpp_socket,
        vpp_stats_socket=vpp_stats_socket,
        netns=netns,
    )


def _name(path: Path | None, default: str) -> str:
    return str(path) if path else default


def _read(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise SettingsError(f"{path}: cannot be read ({reason}): create it, or name another") from error

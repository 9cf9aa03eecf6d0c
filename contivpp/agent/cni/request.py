"""What the kubelet asks, checked: environment and network configuration of one CNI call.

Error codes are those of the CNI specification: 1 version, 4 environment, 6 not JSON, 7 configuration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from contivpp.agent.pods.api import Sandbox
from contivpp.model.keys import PodID

VERSIONS: Final = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
COMMANDS: Final = {"ADD": "0.3.1", "DEL": "0.3.1", "CHECK": "0.4.0", "STATUS": "1.1.0", "GC": "1.1.0"}
"""The commands, and the version that brought them; VERSION is answered by the plugin itself."""

INCOMPATIBLE_VERSION: Final = 1
UNKNOWN_CONTAINER: Final = 3
BAD_ENVIRONMENT: Final = 4
NOT_JSON: Final = 6
BAD_CONFIG: Final = 7
TRY_AGAIN: Final = 11
NOT_AVAILABLE: Final = 50
FAILED: Final = 100

_CONTAINER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")


class CniError(Exception):
    """A call that cannot be served; `code` is that of the CNI specification, `version` what the answer says."""

    def __init__(self, code: int, message: str, *, version: str = VERSIONS[2]) -> None:
        super().__init__(message)
        self.code = code
        self.version = version


@dataclass(frozen=True, slots=True)
class Config:
    """The network configuration.

    Attributes:
        version: the CNI version it is written in.
        attachments: what a GC keeps, as (container ID, interface).
    """

    version: str
    name: str
    previous: dict[str, Any] | None = None
    attachments: tuple[tuple[str, str], ...] = ()


def parse_config(text: bytes) -> Config:
    """Reads the configuration on the plugin's standard input.

    Raises:
        CniError: with the key that is wrong.
    """
    try:
        tree = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CniError(NOT_JSON, f"the network configuration is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise CniError(BAD_CONFIG, "the network configuration is not a JSON object")
    version = tree.get("cniVersion", "")
    if not isinstance(version, str) or not version:
        raise CniError(BAD_CONFIG, f"cniVersion is missing: write one of {', '.join(VERSIONS)}")
    if version not in VERSIONS:
        raise CniError(INCOMPATIBLE_VERSION, f"cniVersion {version!r} is not one of {', '.join(VERSIONS)}")
    name = tree.get("name", "")
    if not isinstance(name, str) or not name:
        raise CniError(BAD_CONFIG, "name is missing: give the network a name", version=version)
    previous = tree.get("prevResult")
    if previous is not None and not isinstance(previous, dict):
        raise CniError(BAD_CONFIG, "prevResult is not a JSON object", version=version)
    return Config(version, name, previous, _attachments(tree.get("cni.dev/valid-attachments", []), version))


def _attachments(listed: Any, version: str) -> tuple[tuple[str, str], ...]:
    try:
        found = msgspec.convert(listed, list[dict[str, Any]])
        return tuple((str(item["containerID"]), str(item["ifname"])) for item in found)
    except (msgspec.ValidationError, KeyError) as error:
        message = "cni.dev/valid-attachments: every entry needs containerID and ifname"
        raise CniError(BAD_CONFIG, message, version=version) from error


def sandbox_of(
    command: str, container_id: str, netns: str, interface: str, arguments: str, *, version: str = VERSIONS[2]
) -> Sandbox:
    """The sandbox that the environment of ADD, DEL or CHECK names.

    Raises:
        CniError: with the variable that is missing or wrong.
    """

    def demand(name: str, value: str, form: re.Pattern[str] | None = None) -> None:
        if not value:
            raise CniError(BAD_ENVIRONMENT, f"{name} is not set, and {command} needs it", version=version)
        if form is not None and not form.fullmatch(value):
            raise CniError(BAD_ENVIRONMENT, f"{name}={value!r} is not valid", version=version)

    demand("CNI_CONTAINERID", container_id, _CONTAINER_ID)
    demand("CNI_IFNAME", interface, _INTERFACE)
    if interface in (".", ".."):
        raise CniError(BAD_ENVIRONMENT, f"CNI_IFNAME={interface!r} is not valid", version=version)
    if command != "DEL":
        demand("CNI_NETNS", netns)
    pairs = dict(part.partition("=")[::2] for part in arguments.split(";") if part)
    pod = PodID(name=pairs.get("K8S_POD_NAME", ""), namespace=pairs.get("K8S_POD_NAMESPACE", ""))
    if command != "DEL" and not (pod.name and pod.namespace):
        message = "CNI_ARGS must name K8S_POD_NAME and K8S_POD_NAMESPACE, as the kubelet does"
        raise CniError(BAD_ENVIRONMENT, message, version=version)
    return Sandbox(pod, container_id, netns, interface)

"""What a plugin prints: results in the form of each CNI version, and errors. Source: the CNI specification."""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec

from contivpp.agent.cni.request import CniError, Config
from contivpp.agent.pods.api import Attachment


def encode(tree: Any) -> bytes:
    """JSON, always in the same order."""
    return msgspec.json.encode(tree, order="deterministic")


def render_error(error: CniError) -> bytes:
    """The error object on standard output."""
    return encode({"cniVersion": error.version, "code": error.code, "msg": str(error)})


def render_result(attachment: Attachment, config: Config) -> bytes:
    """The result of an ADD: what the plugins before this one made stays, our interfaces and addresses follow."""
    version = config.version
    previous = config.previous or {}
    interfaces = list(previous.get("interfaces") or [])
    pod_interface: dict[str, Any] = {
        "name": attachment.sandbox.interface,
        "mac": attachment.mac,
        "sandbox": attachment.sandbox.netns,
    }
    host_interface: dict[str, Any] = {"name": attachment.host_interface, "mac": attachment.host_mac}
    if version == "1.1.0" and attachment.mtu:
        pod_interface["mtu"] = host_interface["mtu"] = attachment.mtu
    if attachment.host_interface:
        interfaces.append(host_interface)
    index = len(interfaces)
    interfaces.append(pod_interface)
    ips = list(previous.get("ips") or [])
    for given in attachment.addresses:
        entry: dict[str, Any] = {"address": given.address, "gateway": given.gateway, "interface": index}
        if version in ("0.3.1", "0.4.0"):
            entry["version"] = str(ipaddress.ip_interface(given.address).version)
        ips.append(entry)
    routes = list(previous.get("routes") or [])
    routes += [{"dst": destination, "gw": gateway} for destination, gateway in attachment.routes]
    return encode(
        {
            "cniVersion": version,
            "interfaces": interfaces,
            "ips": ips,
            "routes": routes,
            "dns": previous.get("dns") or {},
        }
    )

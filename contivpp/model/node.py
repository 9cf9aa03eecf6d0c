"""A Kubernetes node. Source: spec/cluster.md 1.4."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from contivpp.model.codec import Record


class AddressType(StrEnum):
    """What a node's address is for."""

    UNKNOWN = "NodeUnknownAddr"
    HOST_NAME = "NodeHostName"
    EXTERNAL_IP = "NodeExternalIP"
    INTERNAL_IP = "NodeInternalIP"
    EXTERNAL_DNS = "NodeExternalDNS"
    INTERNAL_DNS = "NodeInternalDNS"


class NodeAddress(Record, frozen=True):
    """One address or name of a node."""

    type: AddressType = AddressType.UNKNOWN
    address: str = ""


class NodeSystemInfo(Record, frozen=True):
    """What the node says of itself."""

    machine_ID: str = ""  # noqa: N815 - the original's field names
    system_UUID: str = ""  # noqa: N815
    boot_ID: str = ""  # noqa: N815
    kernel_version: str = ""
    os_image: str = ""
    container_runtime_version: str = ""
    kubelet_version: str = ""
    kube_proxy_version: str = msgspec.field(default="", name="KubeProxyVersion")
    operating_system: str = msgspec.field(default="", name="OperatingSystem")
    architecture: str = msgspec.field(default="", name="Architecture")


class Node(Record, frozen=True):
    """A node; `labels` and `pod_CIDRs` (dual stack) are not in the original."""

    name: str = ""
    pod_CIDR: str = ""  # noqa: N815
    provider_ID: str = ""  # noqa: N815
    addresses: tuple[NodeAddress, ...] = ()
    node_info: NodeSystemInfo | None = None
    labels: dict[str, str] = {}
    pod_CIDRs: tuple[str, ...] = ()  # noqa: N815

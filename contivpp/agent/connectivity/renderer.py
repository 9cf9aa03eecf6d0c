"""What connectivity asks of a data plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from contivpp.agent.view import LocalPod, OwnNode, RemoteNode
from contivpp.model.addressplan import AddressPlan


class ConnectivityRenderer(Protocol):
    """Expresses connectivity as values of one data plane; every method is a pure function."""

    def own_node(self, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """What the node needs whoever else is there: the tunnel's near end, the pods' gateway, forwarding."""
        ...

    def remote_node(self, node: RemoteNode, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """What a packet needs to reach the pods and the host of `node`."""
        ...

    def management_address(
        self, address: str, node: RemoteNode, plan: AddressPlan, *, stolen: bool = False
    ) -> Mapping[str, Any]:
        """What a pod's packet needs to reach an address that Kubernetes knows `node` by; `stolen`: see `OwnNode`."""
        ...

    def published_address(self, address: str, node: RemoteNode, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """What the same takes for an address that `node` published and Kubernetes does not know."""
        ...

    def local_pod(self, pod: LocalPod, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """What a packet needs to reach `pod`, and what the pod needs to reach anything."""
        ...

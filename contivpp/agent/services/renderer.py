"""What services ask of a data plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from contivpp.agent.services.model import Meaning
from contivpp.agent.view import LocalPod, OwnNode
from contivpp.model.addressplan import AddressPlan


class ServicesRenderer(Protocol):
    """Expresses services as values of one data plane; every method is a pure function.

    Attributes:
        everywhere: whether node ports of other nodes are translated here already, for connections of this node.
    """

    everywhere: ClassVar[bool]

    def node(self, own: OwnNode, plan: AddressPlan, *, hide_pods: bool) -> Mapping[str, Any]:
        """What services need whichever there are.

        Args:
            own: this node.
            plan: the cluster's addresses.
            hide_pods: whether pods that leave the cluster get an address of the node.
        """
        ...

    def service(self, meaning: Meaning, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """What one service needs."""
        ...

    def limits(self, meaning: Meaning) -> Sequence[str]:
        """What of a service this data plane cannot do, one sentence each."""
        ...

    def local_pod(self, pod: LocalPod, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """What a pod needs that reaches itself through a service."""
        ...

    def service_address(self, address: str, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """What an address of a service needs, however many ports it has there; it is none of a node."""
        ...

    def node_address(self, address: str, plan: AddressPlan) -> Mapping[str, Any]:
        """What an address of another node needs: it is no address outside of the cluster."""
        ...

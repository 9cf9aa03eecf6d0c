"""What the CNI server asks of the agent, and what it gets back.

The gRPC server translates between the wire and these records and knows nothing else of the agent; a test
gives it any object with these methods.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from contivpp.model.keys import PodID


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One pod sandbox, as CNI names it.

    Attributes:
        netns: path of the network namespace; may be empty for a delete.
        interface: name of the interface in the pod, usually "eth0".
    """

    pod: PodID
    container_id: str
    netns: str
    interface: str


@dataclass(frozen=True, slots=True)
class PodAddress:
    """An address of a pod: `address` with prefix length ("10.1.1.2/32"), `gateway` without."""

    address: str
    gateway: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A pod's connection to the network, as it was made.

    Attributes:
        mac: of the interface in the pod; host_mac of the other end.
        host_interface: the kernel's name of the other end; "" when it is not the kernel's.
        routes: pairs of destination and gateway.
        mtu: of the pod's interface in bytes, 0 for the kernel's default.
    """

    sandbox: Sandbox
    mac: str
    host_interface: str
    host_mac: str
    addresses: tuple[PodAddress, ...]
    routes: tuple[tuple[str, str], ...]
    mtu: int = 0


class PodError(Exception):
    """A pod could not be connected; the message names the pod and the remedy."""


class NotReadyError(PodError):
    """The agent is starting or stopping: try again later (CNI code 11)."""


class UnknownSandboxError(PodError):
    """CHECK was asked for a sandbox that was never added (CNI code 3)."""


class BrokenAttachmentError(PodError):
    """CHECK found that what is there is not what was made."""


class PodNetwork(Protocol):
    """The agent, as the CNI server sees it."""

    async def add(self, sandbox: Sandbox) -> Attachment:
        """Connects a sandbox; repeated for the same sandbox it answers the same.

        Raises:
            NotReadyError: the agent did not become ready in time.
            PodError: anything else, with the pod's name; nothing is left behind.
        """
        ...

    async def delete(self, sandbox: Sandbox) -> None:
        """Disconnects a sandbox; succeeds for one that does not exist."""
        ...

    async def check(self, sandbox: Sandbox) -> Attachment:
        """Compares the data plane with what was made.

        Raises:
            UnknownSandboxError: never added.
            BrokenAttachmentError: with what is missing.
        """
        ...

    async def collect_garbage(self, valid: Collection[tuple[str, str]]) -> None:
        """Removes every sandbox whose (container id, interface) is not in `valid`."""
        ...

    async def status(self) -> None:
        """Returns when an ADD could be served now.

        Raises:
            NotReadyError: with the reason.
        """
        ...

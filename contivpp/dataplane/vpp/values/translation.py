"""Translations of addresses (services), and of the sources of what leaves the cluster.

One port of a service at one of its addresses is one value: VPP keeps it as one object and changes its backends in
place, so a change costs that one message and no connection to another backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Protocol = Literal["tcp", "udp", "sctp"]


@dataclass(frozen=True, slots=True)
class Backend:
    """Where to a translation leads.

    Attributes:
        rewrite: False forwards to it without another destination address (direct server return).
    """

    address: str
    port: int
    rewrite: bool = True


@dataclass(frozen=True, slots=True)
class Translation:
    """A destination that stands for others, on every interface that translates.

    Attributes:
        backends: at least one, none twice: VPP has no translation to nowhere.
        balancing: of new connections. "maglev" is the same on every node whatever the order of the backends, and leaves
            more than half of the clients where they are when one comes or goes; "hash" next to none, with less memory.
        affinity: whether a client comes to the same backend always, instead of one for each connection.
    """

    prefix: ClassVar[str] = "vpp/translation/"

    protocol: Protocol
    address: str
    port: int
    backends: tuple[Backend, ...]
    balancing: Literal["maglev", "hash"] = "maglev"
    affinity: bool = False

    @property
    def key(self) -> str:
        """By protocol, address and port."""
        return translation_key(self.protocol, self.address, self.port)


def translation_key(protocol: str, address: str, port: int) -> str:
    """The key of the translation of an address, protocol and port."""
    return f"{Translation.prefix}{protocol}/{address}/{port}"


@dataclass(frozen=True, slots=True)
class TranslatedInterface:
    """An interface whose packets are translated, when they come in and when they go out.

    Attributes:
        passing: connections are only remembered, so that their replies are known here; nothing is translated. That is
            for the end of the tunnels, where packets are wrapped into others on the way out: VPP would translate the
            outer header like the inner one.
    """

    prefix: ClassVar[str] = "vpp/translated/"

    interface: str
    passing: bool = False

    @property
    def key(self) -> str:
        """By interface."""
        return self.prefix + self.interface

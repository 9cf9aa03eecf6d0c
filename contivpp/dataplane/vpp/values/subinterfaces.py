"""VLANs of an interface as interfaces of their own, and tags that are changed on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from contivpp.dataplane.vpp.values.interfaces import DEFAULT_MTU, INTERFACES, interface_key

Rewriting = Literal[
    "push-1",
    "push-2",
    "pop-1",
    "pop-2",
    "translate-1-1",
    "translate-1-2",
    "translate-2-1",
    "translate-2-2",
]


@dataclass(frozen=True, slots=True)
class SubInterface:
    """Frames of `parent` that carry exactly these tags.

    Attributes:
        parent: the logical name of another interface.
        vlan: the outer tag.
        inner_vlan: the inner tag; 0 when there is one tag only.
        service: whether the outer tag is a provider's (802.1ad).
    """

    prefix: ClassVar[str] = INTERFACES

    name: str
    parent: str
    vlan: int
    inner_vlan: int = 0
    service: bool = False
    mtu: int = DEFAULT_MTU

    @property
    def key(self) -> str:
        """By logical name."""
        return interface_key(self.name)


@dataclass(frozen=True, slots=True)
class TagRewrite:
    """What happens to the tags of frames that an interface takes in; to those that it sends, the reverse.

    Attributes:
        interface: in a bridge domain or cross-connected: others have no tags to change.
        tag: the outer tag that is pushed or translated to; `inner_tag` the inner one of two.
        service: whether the outer tag that is pushed is a provider's (802.1ad).
    """

    prefix: ClassVar[str] = "vpp/tag-rewrite/"

    interface: str
    operation: Rewriting
    tag: int = 0
    inner_tag: int = 0
    service: bool = False

    @property
    def key(self) -> str:
        """By interface."""
        return self.prefix + self.interface

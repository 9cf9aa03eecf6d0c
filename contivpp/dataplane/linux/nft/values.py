"""What the packet filter can be asked for: sets and maps, their elements, and chains with their rules.

All are in one table of ours. Text is what nft(8) takes, in the form in which it is read back: addresses without a
prefix length, subnets with one, ports as numbers, protocols by name, parts of a concatenation joined by " . ".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

TABLE: Final = "inet contiv"
PREFIX: Final = "linux/nft/"

Holds = Literal["members", "elements", "others"]


@dataclass(frozen=True, slots=True)
class NftSet:
    """A set, or a map when its definition has a " : ".

    As with the rules of a chain, the digest of the definition is compared: the kernel keeps it as the set's comment.
    (Not the definition itself: libnftables 1.0.6 writes beyond its memory when a comment and a `typeof` are long.)

    Attributes:
        definition: its type, flags and so on as nft takes them, without elements and comment.
        members: its elements, "key" or "key : data", when it holds members.
        holds: whose the elements are: "members" of this value, "elements" that are values of their own, or those of
            "others" (the rules that packets meet, or another descriptor).
    """

    prefix: ClassVar[str] = PREFIX + "set/"

    name: str
    definition: str = field(compare=False)
    members: frozenset[str] = frozenset()
    holds: Holds = "members"
    digest: str = ""

    def __post_init__(self) -> None:
        """Works the digest out, unless it was read back."""
        if not self.digest:
            object.__setattr__(self, "digest", digest_of((self.definition,)))

    @property
    def key(self) -> str:
        """By name."""
        return self.prefix + self.name

    @property
    def is_map(self) -> bool:
        """Whether its elements have data."""
        return " : " in self.definition

    @property
    def link_parts(self) -> tuple[int, ...]:
        """Which parts of an element's key are names of links: nft takes those in quotes."""
        kind, _, rest = self.definition.partition(" ")
        types = rest.partition(";")[0].partition(" : ")[0] if kind == "type" else ""
        return tuple(place for place, one in enumerate(types.split(" . ")) if one.strip() == "ifname")


@dataclass(frozen=True, slots=True)
class NftElement:
    """One element of a set that holds "elements"; `data` is that of a map: a verdict, an address."""

    prefix: ClassVar[str] = PREFIX + "element/"

    set: str
    element: str
    data: str = ""

    @property
    def key(self) -> str:
        """By set and element."""
        return f"{self.prefix}{self.set}/{self.element}"


@dataclass(frozen=True, slots=True)
class NftChain:
    """A chain with all its rules, in order.

    Rules cannot be read back as they were written: what is compared is their digest, which the kernel keeps with each
    of them.

    Attributes:
        rules: each as nft takes it, without a comment.
        base: what makes packets enter: "type filter hook forward priority 0; policy accept"; "" for a chain that
            others jump to.
    """

    prefix: ClassVar[str] = PREFIX + "chain/"

    name: str
    rules: tuple[str, ...] = field(default=(), compare=False)
    base: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        """Works the digest out, unless it was read back."""
        if not self.digest:
            object.__setattr__(self, "digest", digest_of(self.rules))

    @property
    def key(self) -> str:
        """By name."""
        return self.prefix + self.name


def digest_of(rules: tuple[str, ...]) -> str:
    """What identifies the rules of a chain, or the definition of a set."""
    return hashlib.sha256("\n".join(rules).encode()).hexdigest()[:20]


def in_quotes(element: str, parts: tuple[int, ...]) -> str:
    """An element as nft takes it: a name of a link may begin with a digit, or be a word of nft's."""
    if not parts:
        return element
    key, colon, data = element.partition(" : ")
    texts = [f'"{one}"' if place in parts else one for place, one in enumerate(key.split(" . "))]
    return " . ".join(texts) + colon + data

"""VPP's interfaces by our names, and the tags that keep these names and what else VPP would not say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from contivpp.dataplane.vpp.api.errors import VppError

NO_INTERFACE: Final = 0xFFFFFFFF
TAG: Final = "contiv:"
"""What the tags of everything that is ours start with, before the logical name."""
ADOPTED: Final = "nic "
"""What the memo of an interface that VPP had already starts with."""
_TUNNEL: Final = "VXLAN"
"""What VPP calls the devices of tunnels, which are most of the interfaces of a large cluster."""
_LONGEST: Final = 63  # bytes; VPP cuts what is longer
_SEPARATOR: Final = "|"


@dataclass(frozen=True, slots=True)
class Tag:
    """What is written on an interface of ours.

    Attributes:
        name: the logical name.
        memo: what its kind wants to remember.
        notes: what others want to remember, by a letter of theirs.
    """

    name: str
    memo: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """As VPP keeps it.

        Raises:
            ValueError: it cannot be a tag.
        """
        notes = " ".join(letter + note for letter, note in sorted(self.notes.items()) if note)
        text = TAG + _SEPARATOR.join((self.name, self.memo, notes)).rstrip(_SEPARATOR)
        if _SEPARATOR in self.name or not self.name.isprintable() or not self.name:
            raise ValueError(f"{self.name!r} is not a name: leave out {_SEPARATOR} and what cannot be printed")
        if (excess := len(text.encode()) - _LONGEST) > 0:
            raise ValueError(f"the name {self.name} is {excess} bytes too long: VPP has no room for more")
        return text

    def with_note(self, letter: str, note: str) -> Self:
        """The same with another note; "" takes it away."""
        return replace(self, notes={**self.notes, letter: note})

    @classmethod
    def read(cls, text: str) -> Self | None:
        """What VPP keeps; None for an interface that is not ours."""
        if not text.startswith(TAG):
            return None
        name, _, rest = text.removeprefix(TAG).partition(_SEPARATOR)
        memo, _, notes = rest.partition(_SEPARATOR)
        return cls(name, memo, {word[0]: word[1:] for word in notes.split()})


class Interfaces:
    """VPP's numbers of interfaces by their logical names, as far as they were made or read.

    Attributes:
        details: of all interfaces that VPP has, as they were read.
        devices: of those that no value made, by VPP's names.
    """

    def __init__(self) -> None:
        """Starts empty."""
        self._number: dict[str, int] = {}
        self._tag: dict[int, Tag] = {}
        self._tunnels: frozenset[int] = frozenset()
        self.details: tuple[Any, ...] = ()
        self.devices: dict[str, Any] = {}

    def replace(self, details: Iterable[Any]) -> list[Any]:
        """Takes everything that there is, as VPP lists it; returns what of it is ours."""
        self._number, self._tag, self.devices = {}, {}, {}
        self.details = tuple(details)
        self._tunnels = frozenset(item.sw_if_index for item in self.details if item.interface_dev_type == _TUNNEL)
        ours = []
        for item in self.details:
            if (tag := Tag.read(item.tag)) is not None:
                self.add(tag, item.sw_if_index)
                ours.append(item)
            if is_device(item):
                self.devices[item.interface_name] = item
        return ours

    def add(self, tag: Tag, number: int) -> None:
        """Notes an interface, or what is written on it now."""
        self._number[tag.name] = number
        self._tag[number] = tag

    def remove(self, name: str) -> None:
        """Forgets an interface."""
        self._tag.pop(self._number.pop(name, NO_INTERFACE), None)

    def names(self) -> list[str]:
        """All logical names, sorted."""
        return sorted(self._number)

    def routed_names(self) -> list[str]:
        """The names of those that packets may be routed by, sorted: all but tunnels, which are in bridge domains."""
        return sorted(name for name, number in self._number.items() if number not in self._tunnels)

    def by_number(self) -> dict[int, str]:
        """The logical names by VPP's numbers."""
        return {number: tag.name for number, tag in self._tag.items()}

    def number(self, name: str) -> int:
        """VPP's number of an interface.

        Raises:
            VppError: there is no such interface.
        """
        if name not in self._number:
            raise VppError(f"VPP has no interface {name}")
        return self._number[name]

    def name(self, number: int) -> str:
        """The logical name of an interface; "" for one that is not ours."""
        tag = self._tag.get(number)
        return "" if tag is None else tag.name

    def tag(self, name: str) -> Tag:
        """What is written on an interface; raises as `number` does."""
        return self._tag[self.number(name)]


def is_device(item: Any) -> bool:
    """Whether an interface is VPP's own, to be adopted by a value: it is hardware, and not made by one."""
    tag = Tag.read(item.tag)
    return bool(item.sw_if_index) and not item.type and (tag is None or tag.memo.startswith(ADOPTED))

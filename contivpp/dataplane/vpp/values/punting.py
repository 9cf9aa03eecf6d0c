"""What is for VPP itself and nobody in it wants, sent to somebody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True)
class PuntRedirect:
    """Packets of one IP version for VPP's own addresses that nothing in VPP takes leave by `to`.

    Attributes:
        via: the next hop there; "" on an interface without Ethernet.
        interface: where they came in; "" is anywhere.
    """

    prefix: ClassVar[str] = "vpp/punt-redirect/"

    version: Literal[4, 6]
    to: str
    via: str = ""
    interface: str = ""

    @property
    def key(self) -> str:
        """By IP version and where they came in."""
        return f"{self.prefix}ip{self.version}/{self.interface or '-'}"

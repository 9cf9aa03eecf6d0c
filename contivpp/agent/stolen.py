"""The node's only NIC, stolen for VPP: what it was to the kernel, and word when that changes.

contiv-stn takes the NIC; the agent puts its addresses and routes on VPP, and gives the host a way through VPP under
the same addresses. Until the NIC is stolen there is nothing to render. When it goes back the agent ends, for everything
that it knows is void: it is started again, and waits for the next theft. Source: spec/agent.md 3.3, 3.4, 8.3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

from contivpp.daemon.stn.client import Hop, NicState, StnDownError, StnError

log = logging.getLogger(__name__)

_PERIOD: Final = 0.25
AF_PACKET: Final = "af_packet"


@dataclass(frozen=True, slots=True)
class Stolen:
    """A NIC that VPP has.

    Attributes:
        name: of the link that it was.
        pci: its address; "" for a link that VPP attaches to.
        kernel_driver: what drove it before.
        mac: which VPP goes on to use.
        mtu: in bytes.
        addresses: with prefix length, those that others can reach.
        routes: those of the main table; a hop without `via` is on the link.
        dhcp: whether VPP has to ask for the address.
    """

    name: str
    pci: str = ""
    kernel_driver: str = ""
    mac: str = ""
    mtu: int = 0
    addresses: tuple[str, ...] = ()
    routes: tuple[Hop, ...] = ()
    dhcp: bool = False

    @classmethod
    def of(cls, state: NicState) -> Stolen:
        """What contiv-stn says."""
        return cls(
            name=state.name,
            pci="" if state.driver == AF_PACKET else state.pci,
            kernel_driver=state.kernel_driver,
            mac=state.mac,
            mtu=state.mtu,
            addresses=tuple(one for one in state.addresses if not one.lower().startswith("fe80:")),
            routes=state.routes,
            dhcp=state.dhcp,
        )


class StolenSource(Protocol):
    """Whom to ask: contiv-stn."""

    async def state(self, name: str = "") -> NicState:
        """What is known of a NIC, or of any; raises StnError."""
        ...


class NicGoneError(Exception):
    """The NIC went back to the kernel, and VPP has none."""


class StolenNic:
    """Follows the NIC; `watch` is asked once."""

    def __init__(self, source: StolenSource, name: str, *, period: float = _PERIOD) -> None:
        """Takes whom to ask, the name of the NIC ("" for the one that is stolen), and how often, in seconds."""
        self._source = source
        self._name = name
        self._period = period
        self._stolen: Stolen | None = None
        self._problem = "contiv-stn was not asked yet"

    def why_not(self) -> str:
        """Why there is no NIC; "" when there is."""
        return "" if self._stolen is not None else self._problem

    async def watch(self) -> AsyncIterator[Stolen]:
        """The NIC as soon as it is stolen.

        Raises:
            NicGoneError: it is not any more.
        """
        while True:
            await self._look()
            if self._stolen is not None:
                yield self._stolen
                break
            await asyncio.sleep(self._period)
        while True:
            await asyncio.sleep(self._period)
            await self._look()

    async def _look(self) -> None:
        try:
            state = await self._source.state(self._name)
        except StnDownError as error:  # it is started again; what it knew it knows
            self._problem = str(error)
            return
        except StnError as error:
            self._problem = f"contiv-stn: {error}"
            return
        which = self._name or "the node's NIC"
        if state.is_stolen:
            if self._stolen is None:
                log.info("%s is stolen: %s", state.name, ", ".join(state.addresses))
            self._stolen = Stolen.of(state)
            return
        reason = f": {state.reason}" if state.reason else ""
        self._problem = f"{which} is not stolen{f', it is {state.phase}' if state.phase else ''}{reason}"
        if self._stolen is not None:
            raise NicGoneError(self._problem)

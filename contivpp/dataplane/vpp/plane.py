"""The VPP data plane of one node: the client, its descriptors, and what they need of VPP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from contivpp.dataplane.emptying import remove_all
from contivpp.dataplane.vpp.api.client import Vpp
from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.descriptors import addressing, bridging, interfaces, routing
from contivpp.dataplane.vpp.descriptors.driver import Driver
from contivpp.scheduler.api import Descriptor

FAMILIES: Final = (addressing, interfaces, routing, bridging)
"""The modules of descriptors, each after those whose values its own stand on: emptying goes the other way."""
NEEDS: Final = {"show_version": (), **{name: needs for family in FAMILIES for name, needs in family.NEEDS.items()}}
"""The messages, and of each the fields, that are used."""


class VppDataplane:
    """The VPP of one node.

    Attributes:
        ready: set whenever a VPP was reached that has all that is needed; who clears it learns of the next one.
    """

    name = "vpp"

    def __init__(self, socket: Path, *, timeout: float = 5.0, link_key: Callable[[str], str] | None = None) -> None:
        """Takes what it needs.

        Args:
            socket: VPP's API socket.
            timeout: after how many seconds without an answer it counts as hung.
            link_key: the key that is available while the kernel has a link with a name; None when nobody says that.
        """
        self.ready = asyncio.Event()
        self._client = Vpp(socket, needs=NEEDS, appeared=self._appeared, timeout=timeout)
        driver = Driver(self._client, link_key=link_key)
        self._descriptors: tuple[Descriptor, ...] = tuple(
            descriptor for family in FAMILIES for descriptor in family.descriptors(driver)
        )

    def descriptors(self) -> Sequence[Descriptor]:
        """What makes values real."""
        return self._descriptors

    @property
    def problem(self) -> str:
        """Why VPP cannot be used; "" when it can."""
        return self._client.problem

    async def run(self) -> None:
        """The root task: stays connected."""
        await self._client.run()

    async def remove_everything(self, *, patience: float = 3.0) -> tuple[int, str]:
        """Takes out of VPP all that was ever put there, when it can be reached within `patience` seconds.

        Returns:
            How many values went, and what was left with the reason, "" for nothing.
        """
        running = asyncio.create_task(self.run(), name="vpp")
        try:
            async with asyncio.timeout(patience):
                await self.ready.wait()
            removed, problems = await remove_all(self._descriptors)
            return removed, "; ".join(problems)
        except TimeoutError:
            return 0, self.problem
        except VppError as error:
            return 0, str(error)
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def _appeared(self) -> None:
        self.ready.set()

"""What descriptors of VPP share, without a VPP."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from contivpp.dataplane.vpp.api.errors import VppDown
from contivpp.dataplane.vpp.descriptors.driver import Driver


class _Dying:
    """A connection that breaks while some dumps wait for their answers and others are about to be asked for."""

    def __init__(self) -> None:
        self.broken = asyncio.Event()

    async def dump(self, name: str, **fields: Any) -> list[Any]:
        if name == "answered":
            return []
        await self.broken.wait()
        if name == "late":
            await asyncio.sleep(0)
        raise VppDown("VPP went away")


async def test_who_is_stopped_while_vpp_goes_away_stops() -> None:
    """A VPP and its agent are often ended at once; the agent's task would go on for ever."""
    connection = _Dying()
    asking = asyncio.create_task(_driver(connection).dumps([("late", {}), ("early", {})]))
    await asyncio.sleep(0)
    connection.broken.set()
    await asyncio.sleep(0)  # one has failed and nobody knows yet; the other one can still be stopped
    asking.cancel()
    await asyncio.wait([asking], timeout=2)
    assert asking.cancelled()


async def test_a_vpp_that_goes_away_fails_what_asked() -> None:
    connection = _Dying()
    asking = asyncio.create_task(_driver(connection).dumps([("answered", {}), ("early", {})]))
    await asyncio.sleep(0)
    connection.broken.set()
    with pytest.raises(VppDown, match="went away"):
        await asking


def _driver(connection: _Dying) -> Driver:
    vpp: Any = SimpleNamespace(connection=connection)
    return Driver(vpp)

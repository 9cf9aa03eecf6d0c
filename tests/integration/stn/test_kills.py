"""A law: whatever kills contiv-stn, and whenever, the NIC ends as it was, or stolen and confirmed.

The daemon counts its steps and its writings to the journal and kills itself at each of them in turn. Then it is started
again, or the machine is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from contivpp.daemon.stn.client import NicState, StnError
from tests.integration.stn.world import World, world_of

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(params=["device", "link"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_of(tmp_path, request.param) as made:
        made.run_vpp()
        made.run_agent()
        yield made


@pytest.fixture(params=["the daemon", "the machine"])
def start_again(request: pytest.FixtureRequest, world: World) -> Iterator[object]:
    def daemon() -> None:
        world.start()

    def machine() -> None:
        world.reboot()
        if not (world.folder / "journal.json").exists():  # nothing had begun
            world.configure()
        world.start("boot")
        world.start()

    yield daemon if request.param == "the daemon" else machine


def is_settled(state: NicState) -> bool:
    return state.phase in ("", "returned", "confirmed")


async def ends_well(world: World, before: list[str], kill_at: int) -> str:
    """Waits for the end, and looks at it; the NIC is the kernel's afterwards."""
    state = await world.until(is_settled)
    where = f"killed at {kill_at}: {world.events()}\n{world.log()}"
    if state.phase == "confirmed":
        assert not world.nic_is_here(), where
        assert world.pings(), where
        await world.client.release(timeout=30)
    assert world.settled_picture() == before, where
    assert not world.is_deaf(), where
    assert not list((world.folder / "root/run/systemd/network").glob("*")), where
    with contextlib.suppress(StnError):
        await world.client.release(timeout=30)
    world.kill()
    return state.phase


async def test_killed_at_any_step_of_the_theft(world: World, start_again: object) -> None:
    before = world.settled_picture()
    for kill_at in moments(THEFT[world.mode]):
        (world.folder / "events").unlink(missing_ok=True)
        world.start(kill_at=kill_at)
        await world.state()
        with contextlib.suppress(StnError):
            await world.client.steal("eth0", timeout=30)
        assert world.died(), world.log()
        assert len(world.events()) == kill_at + 1
        start_again()  # type: ignore[operator]
        await ends_well(world, before, kill_at)


async def test_killed_at_any_step_of_the_return(world: World, start_again: object) -> None:
    before = world.settled_picture()
    for kill_at in moments(RETURN[world.mode]):
        world.start()
        await world.state()
        await world.client.steal("eth0", timeout=30)
        world.connect()
        await world.until(lambda state: state.phase == "confirmed")
        world.kill()
        (world.folder / "events").unlink()
        world.start(kill_at=kill_at)
        await world.state()
        with contextlib.suppress(StnError):
            await world.client.release("eth0", timeout=30)
        assert world.died(), world.log()
        start_again()  # type: ignore[operator]
        await ends_well(world, before, kill_at)


THEFT = {
    "device": [
        "before stealing",
        "after stealing",
        "prepare",
        "vpp-ends",
        "down",
        "driver",
        "vpp",
        "managers",
        "before stolen",
        "after stolen",
    ],
    "link": [
        *("before stealing", "after stealing", "down", "managers", "deaf", "strip", "up"),
        *("before stolen", "after stolen"),
    ],
}
_BACK = [
    "up-again",
    "addresses",
    "managers-back",
    "services-again",
    "settle",
    "given-back",
    "before nothing",
    "after nothing",
]
RETURN = {
    mode: ["before releasing", "after releasing", *before, "services", "host-link", first, *_BACK]
    for mode, before, first in (("device", ["prepare-back"], "driver-back"), ("link", [], "hearing"))
}


def moments(events: list[str]) -> Iterator[int]:
    """The events to die at: what is between a writing and the step after it is one moment."""
    return (number for number, event in enumerate(events) if event == events[-1] or not event.startswith("after"))


async def test_the_steps_are_these(world: World) -> None:
    world.start()
    await world.state()
    await world.client.steal("eth0", timeout=30)
    assert world.events() == THEFT[world.mode]
    (world.folder / "events").unlink()
    await world.client.release("eth0", timeout=30)
    assert world.events() == RETURN[world.mode]

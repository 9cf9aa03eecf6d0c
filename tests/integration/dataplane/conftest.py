"""A real VPP for each test that asks for one, in a network namespace of its own, and the driver connected to it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.plane import VppDataplane
from tests.integration.cluster import ip
from tests.integration.dataplane.vpp import AnyVpp, RealVpp, connected

pytest.register_assert_rewrite("tests.integration.dataplane.vpp_suite")


@pytest.fixture
def netns() -> Iterator[str]:
    name = f"contiv-vpp-{os.getpid()}"
    ip("netns", "add", name)
    try:
        yield name
    finally:
        ip("netns", "del", name)


@pytest.fixture
def vpp(tmp_path: Path, netns: str) -> Iterator[RealVpp]:
    made = RealVpp(tmp_path / "vpp", netns=netns)
    try:
        made.start()
        yield made
    finally:
        made.end()


@pytest.fixture
async def connection(vpp: AnyVpp) -> AsyncIterator[Connection]:
    opened = await Connection.open(vpp.socket, "test", timeout=2)
    yield opened
    await opened.close()


@pytest.fixture
async def plane(vpp: AnyVpp) -> AsyncIterator[VppDataplane]:
    async with connected(vpp) as made:
        yield made

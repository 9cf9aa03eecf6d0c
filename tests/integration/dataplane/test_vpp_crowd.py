"""More AF_PACKET interfaces, and more clients that died, than VPP since 25.06 survives unless it is helped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from contivpp.dataplane.vpp import edges
from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.descriptors.crowd import FEW
from contivpp.dataplane.vpp.edges import level_triggered, wake_once
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress
from contivpp.dataplane.vpp.values.interfaces import HostInterface
from contivpp.scheduler.scheduler import Scheduler
from tests.integration.cluster import ip
from tests.integration.dataplane.pods import in_namespace
from tests.integration.dataplane.vpp import RealVpp, connected, keyed

PODS = 40
RUNS = 6
_ARP = 0x0806
_REPLY = 2


class Pods:
    """The far ends of many pairs, all in one namespace; what they send are ARP requests to VPP."""

    def __init__(self, netns: str, vpp_netns: str) -> None:
        lines = []
        for number in range(PODS):
            ends = f"link add p{number} type veth peer name h{number} netns {vpp_netns}"
            lines += [ends, f"link set p{number} addrgenmode none up"]
        for where, batch in (
            (netns, lines),
            (vpp_netns, [f"link set h{number} addrgenmode none up" for number in range(PODS)]),
        ):
            command = ["ip", "-netns", where, "-batch", "-"]
            subprocess.run(command, input="\n".join(batch), text=True, check=True)
        self._sockets = []
        for number in range(PODS):
            made = in_namespace(netns, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP))
            made.bind((f"p{number}", _ARP))
            self._sockets.append(made)

    def close(self) -> None:
        for one in self._sockets:
            one.close()

    def ask(self, number: int, count: int) -> None:
        """Sends requests for VPP's address on one link."""
        one = self._sockets[number]
        mac = one.getsockname()[4]
        request = bytes.fromhex("0001080006040001") + mac + bytes((10, 9, number, 2)) + bytes(6)
        for _ in range(count):
            one.send(b"\xff" * 6 + mac + _ARP.to_bytes(2, "big") + request + bytes((10, 9, number, 1)))

    def answers(self, number: int) -> int:
        """How many answers came until none came for a while."""
        one, count = self._sockets[number], 0
        one.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while True:
                count += one.recv(2048)[21] == _REPLY
        return count

    def all_answered(self, vpp: RealVpp) -> bool:
        """Whether every pod gets an answer to what it sent while VPP was stopped: VPP finds all sockets ready."""
        vpp.freeze()
        for number in range(PODS):
            self.ask(number, 1)
        vpp.thaw()
        waiting = set(self._sockets)
        deadline = time.monotonic() + 5
        while waiting and time.monotonic() < deadline:
            ready, _, _ = select.select([*waiting], [], [], 1)
            waiting -= {one for one in ready if one.recv(2048)[21] == _REPLY}
        return not waiting


@pytest.fixture
def pods(netns: str) -> Iterator[Pods]:
    name = f"{netns}-p"
    ip("netns", "add", name)
    try:
        made = Pods(name, netns)
        yield made
        made.close()
    finally:
        ip("netns", "del", name)


def attached(number: int) -> list[HostInterface | InterfaceAddress]:
    link = f"h{number}"
    return [
        HostInterface(link, link, f"02:fe:00:00:03:{number:02x}", 1500),
        InterfaceAddress(link, f"10.9.{number}.1/24"),
    ]


async def made(plane: VppDataplane, numbers: range) -> None:
    values = [value for number in numbers for value in attached(number)]
    result = await Scheduler(plane.descriptors()).commit(keyed(values))
    assert dict(result.errors) == {}


@pytest.mark.vpp
@pytest.mark.root
async def test_vpp_lives_on_when_forty_have_packets_at_the_same_moment(
    plane: VppDataplane, vpp: RealVpp, pods: Pods
) -> None:
    await made(plane, range(PODS))
    assert [pods.all_answered(vpp) for _ in range(RUNS)] == [True] * RUNS
    assert len(level_triggered(plane.client.connection.process)) == FEW


@pytest.mark.vpp
@pytest.mark.root
async def test_a_whole_ring_is_read_by_one_reading(plane: VppDataplane, vpp: RealVpp, pods: Pods) -> None:
    await made(plane, range(PODS))
    vpp.freeze()
    pods.ask(PODS - 1, 300)  # more than the ring has room for
    vpp.thaw()
    pods.answers(PODS - 1)
    received = vpp.cli("show", "interface", f"host-h{PODS - 1}")
    count = int(received.split("rx packets")[1].split()[0])
    assert count == edges.READ_AT_ONCE - 1, received


@pytest.mark.vpp
@pytest.mark.root
async def test_what_an_agent_left_half_done_is_mended_by_the_next_one(
    plane: VppDataplane, vpp: RealVpp, pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("contivpp.dataplane.vpp.edges.level_triggered", lambda process: [])
        await made(plane, range(PODS))
    assert len(level_triggered(plane.client.connection.process)) == PODS
    async with connected(vpp) as other:
        values = keyed([value for number in range(PODS) for value in attached(number)])
        result = await Scheduler(other.descriptors()).resync(values)
        assert (dict(result.errors), result.executed) == ({}, 0)
    assert pods.all_answered(vpp)


@pytest.mark.root
def test_a_socket_that_is_woken_once_is_in_one_answer_per_packet(netns: str) -> None:
    own = os.getpid()
    ip("link", "set", "lo", "up", netns=netns)
    receiving = in_namespace(netns, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    receiving.bind(("lo", 3))
    sending = in_namespace(netns, socket.AF_PACKET, socket.SOCK_RAW, 0)
    sending.bind(("lo", 0))
    with receiving, sending, select.epoll() as polling:
        polling.register(receiving, select.EPOLLIN)
        polling.register(sending, select.EPOLLHUP)
        before = {
            name: os.readlink(f"/proc/self/fd/{name}") for name in map(str, (receiving.fileno(), polling.fileno()))
        }
        mine = [one for one in level_triggered(own) if one.epoll == polling.fileno()]
        assert {one.file for one in mine} == {receiving.fileno(), sending.fileno()}

        sending.send(bytes(60))
        assert [len(polling.poll(0.2)) for _ in range(3)] == [1, 1, 1], "it is ready as long as it is not read"
        wake_once(mine)
        assert [one for one in level_triggered(own) if one.epoll == polling.fileno()] == []
        assert [len(polling.poll(0.2)) for _ in range(3)] == [1, 0, 0], "it is ready once"
        sending.send(bytes(60))
        assert [len(polling.poll(0.2)) for _ in range(2)] == [1, 0], "and once more for every packet"
        assert {name: os.readlink(f"/proc/self/fd/{name}") for name in before} == before, "files kept their numbers"


def test_a_process_that_is_gone_is_an_error() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with pytest.raises(OSError, match="No such file"):
        level_triggered(gone.pid)


@pytest.mark.vpp
@pytest.mark.root
async def test_clients_that_were_killed_do_not_stay_in_vpp(vpp: RealVpp) -> None:
    def files(process: int) -> int:
        return len(os.listdir(f"/proc/{process}/fd"))

    async with connected(vpp) as plane:
        process = plane.client.connection.process
        before = files(process)
    for _ in range(3):
        for _ in range(8):  # with 16 that are left some VPPs do nothing else any more
            left = await Connection.open(vpp.socket, "killed", timeout=5)
            await left.close()
        async with connected(vpp):
            async with asyncio.timeout(5):
                while files(process) > before:
                    await asyncio.sleep(0.05)

"""A client of contiv-stn. The words of the service: `stn.proto`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from contivpp.daemon.stn import stn_pb2 as _messages

stn_pb2: Any = _messages  # made at run time, unknown to type checkers
SERVICE: Final = "stn.STN"
SOCKET: Final = Path("/run/contiv/stn.sock")
ASKING: Final = 5.0
"""Seconds until an answer that takes no work."""


class StnError(Exception):
    """contiv-stn refused, or failed; its own sentence."""


class StnDownError(StnError):
    """Nobody answers at the socket."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One next hop of a route that a NIC had; `to` is a subnet, and "" the default route."""

    to: str
    via: str
    metric: int = 0
    weight: int = 1


@dataclass(frozen=True, slots=True)
class NicState:
    """What contiv-stn knows of a NIC.

    Attributes:
        phase: stealing, stolen, confirmed, releasing, returned; "" when it knows of none.
        reason: why the NIC is being given back, or was.
        name: of the link that it is, or was.
        driver: what it is driven by, "af_packet" or a driver for user space; `kernel_driver` is the one it had.
        pci: its address; "" for a link without a device.
        addresses: with prefix length, as they were.
        dhcp: whether they came by DHCP.
        seconds_left: until it is given back; 0 when nothing is waited for.
        awaits_confirmation: whether somebody has to say that the node is reached.
        probed: the address by which it is told whether the node is reached, and how.
        problems: what is not well, one sentence each.
    """

    phase: str = ""
    reason: str = ""
    name: str = ""
    driver: str = ""
    kernel_driver: str = ""
    pci: str = ""
    mac: str = ""
    mtu: int = 0
    addresses: tuple[str, ...] = ()
    routes: tuple[Hop, ...] = ()
    dhcp: bool = False
    seconds_left: int = 0
    awaits_confirmation: bool = False
    probed: str = ""
    problems: tuple[str, ...] = ()

    @property
    def is_stolen(self) -> bool:
        """Whether the NIC is VPP's."""
        return self.phase in ("stolen", "confirmed")


class StnClient:
    """One call, one connection: the daemon may have been started anew in between."""

    def __init__(self, path: Path = SOCKET) -> None:
        """Takes where the daemon listens."""
        self._path = path

    async def state(self, name: str = "") -> NicState:
        """What is known of a NIC, or of any.

        Raises:
            StnDownError: nobody answers.
        """
        return await self._call("State", ASKING, interface_name=name)

    async def steal(self, name: str, *, timeout: float, **request: Any) -> NicState:
        """Has a NIC taken; `request` are further fields of STNRequest.

        Raises:
            StnError: it was refused, or failed; the NIC is as it was, or is being given back.
        """
        return await self._call("StealInterface", timeout, interface_name=name, **request)

    async def confirm(self, name: str = "") -> NicState:
        """Says that the node is reached as it should be.

        Raises:
            StnError: nothing is stolen.
        """
        return await self._call("Confirm", ASKING, interface_name=name)

    async def release(self, name: str = "", *, timeout: float, dry_run: bool = False) -> NicState:
        """Has a NIC given back.

        Raises:
            StnError: nothing is stolen, or not everything could be put back yet: the daemon goes on trying.
        """
        return await self._call("ReleaseInterface", timeout, interface_name=name, dry_run=dry_run)

    async def _call(self, method: str, timeout: float, **request: Any) -> NicState:
        async with grpc.aio.insecure_channel(f"unix://{self._path}") as channel:
            call = channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=stn_pb2.STNRequest.SerializeToString,
                response_deserializer=stn_pb2.STNReply.FromString,
            )
            try:
                reply = await call(stn_pb2.STNRequest(**request), timeout=timeout)
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:
                    raise StnDownError(f"nobody answers at {self._path}: is contiv-stn running?") from error
                raise StnError(error.details() or error.code().name) from error
        if reply.result:
            raise StnError(reply.error)
        return _state_of(reply)


def _state_of(reply: Any) -> NicState:
    return NicState(
        phase=reply.phase,
        reason=reply.reason,
        name=reply.interface_name,
        driver=reply.driver,
        kernel_driver=reply.kernel_driver,
        pci=reply.pci_address,
        mac=reply.mac,
        mtu=reply.mtu,
        addresses=tuple(reply.ip_addresses),
        routes=tuple(
            Hop(route.destination_subnet, route.next_hop_ip, route.metric, route.weight) for route in reply.routes
        ),
        dhcp=reply.dhcp_enabled,
        seconds_left=reply.seconds_left,
        awaits_confirmation=reply.awaits_confirmation,
        probed=reply.probed,
        problems=tuple(reply.problems),
    )

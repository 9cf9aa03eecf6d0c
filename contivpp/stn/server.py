"""The gRPC server of contiv-stn: between the wire and the keeper. Source: spec/cluster.md 4.1 and `stn.proto`."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from pathlib import Path
from typing import Any, Final

from contivpp.daemon.stn.client import SERVICE
from contivpp.daemon.stn.client import stn_pb2 as messages
from contivpp.daemon.unix_grpc import Method, UnixServer
from contivpp.stn.checks import RefusedStealError, Wanted
from contivpp.stn.journal import MAIN, Journal, JournalError, SavedNic
from contivpp.stn.keeper import Keeper, Report, Request, StealFailedError

log = logging.getLogger(__name__)

_REFUSALS: Final = (RefusedStealError, StealFailedError, JournalError)


class StnServer(UnixServer):
    """Serves one node's keeper. Where the original fails a call as well, here the reply alone says what is wrong."""

    def __init__(self, keeper: Keeper, path: Path) -> None:
        """Takes who keeps the NIC, and where the socket is to be."""
        self._keeper = keeper
        calls = {
            "StealInterface": self.steal,
            "ReleaseInterface": self.release,
            "StolenInterfaceInfo": self.info,
            "Confirm": self.confirm,
            "State": self.state,
        }
        super().__init__(
            path,
            SERVICE,
            {name: Method(call, messages.STNRequest, messages.STNReply) for name, call in calls.items()},
        )

    async def steal(self, call: Any, context: Any) -> Any:
        """Takes a NIC, or says how it is and that it would be taken."""
        request = Request(
            wanted=Wanted(call.interface_name, call.driver, dhcp=call.dhcp_enabled, force=call.force),
            word=float(call.confirm_seconds),
            delay=call.delay_milliseconds / 1000,
        )
        try:
            if call.dry_run:
                return _reply(Report(None), await self._keeper.look(request))
            report = await self._keeper.steal(request)
            return _reply(report, None if report.journal else await self._keeper.look(request))
        except _REFUSALS as error:
            return _refused(call.interface_name, error)

    async def release(self, call: Any, context: Any) -> Any:
        """Gives a NIC back."""
        report = self._keeper.report()
        try:
            if call.dry_run:
                return _reply(report)
            await self._keeper.release(call.interface_name)
        except _REFUSALS as error:
            return _refused(call.interface_name, error)
        return messages.STNReply()

    async def info(self, call: Any, context: Any) -> Any:
        """What a stolen NIC was."""
        report = self._keeper.report()
        journal = report.journal
        if journal is None or call.interface_name not in ("", journal.nic.name):
            return messages.STNReply(result=1, error=f"no NIC {call.interface_name} is stolen".replace("  ", " "))
        if journal.phase not in ("stolen", "confirmed"):
            why = f": {journal.reason}" if journal.reason else ""
            return messages.STNReply(result=1, error=f"{journal.nic.name} is not stolen, it is {journal.phase}{why}")
        return _reply(report)

    async def confirm(self, call: Any, context: Any) -> Any:
        """Somebody reaches the node."""
        try:
            return _reply(await self._keeper.confirm(call.interface_name))
        except _REFUSALS as error:
            return _refused(call.interface_name, error)

    async def state(self, call: Any, context: Any) -> Any:
        """What is known of a NIC, or of any."""
        report = self._keeper.report()
        journal = report.journal
        if journal is None or call.interface_name not in ("", journal.nic.name):
            return messages.STNReply()
        return _reply(report)

    async def run(self) -> None:
        """Serves for ever; ends the keeper in order."""
        try:
            await super().run()
        finally:
            await asyncio.shield(self._keeper.stop())


def _refused(name: str, error: Exception) -> Any:
    log.warning("%s: %s", name or "the NIC", error)
    return messages.STNReply(result=1, error=str(error))


def _reply(report: Report, nic: SavedNic | None = None) -> Any:
    journal = report.journal
    if journal is not None:
        reply = _about(journal.nic)
        _add_state(reply, journal, report)
        return reply
    return messages.STNReply() if nic is None else _about(nic)


def _about(nic: SavedNic) -> Any:
    reply = messages.STNReply(
        interface_name=nic.name,
        pci_address=nic.pci,
        kernel_driver=nic.kernel_driver,
        driver=nic.driver,
        mac=nic.mac,
        mtu=nic.mtu,
        dhcp_enabled=nic.dhcp,
        ip_addresses=[one.text for one in nic.addresses],
    )
    subnets = {str(ipaddress.ip_network(one.text, strict=False)) for one in nic.addresses}
    for route in nic.routes:
        if route.table != MAIN or (route.automatic and route.to):  # the default route may be announced by a router
            continue
        if route.to in subnets and not any(hop.via for hop in route.hops):  # it comes with the address
            continue
        for hop in route.hops:
            reply.routes.add(destination_subnet=route.to, next_hop_ip=hop.via, metric=route.metric, weight=hop.weight)
    return reply


def _add_state(reply: Any, journal: Journal, report: Report) -> None:
    reply.phase = journal.phase
    reply.reason = journal.reason
    reply.seconds_left = round(report.left)
    reply.probed = journal.probe
    reply.awaits_confirmation = journal.word and journal.phase == "stolen"
    reply.problems.extend(report.problems)

"""The keeper of the stolen NIC: what contiv-stn does, one thing at a time, and what it does by itself.

The journal is written before each change of what is true, so that the keeper can be killed at any time: `recover`
looks at it and goes on. A NIC whose taking was interrupted goes back; one that was taken is watched with the time that
is left; one whose return was interrupted goes on returning. A return that fails is tried again until it works. Whoever
asked may have lost the connection by what was asked for: nothing that has begun depends on who waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from contivpp.daemon.tasks import notify
from contivpp.stn import checks
from contivpp.stn.checks import RefusedStealError, Wanted, saved_nic
from contivpp.stn.commands import CommandError
from contivpp.stn.drivers import DriverError, Drivers
from contivpp.stn.journal import Journal, JournalError, SavedNic, Store
from contivpp.stn.machine import Machine, MachineError
from contivpp.stn.managers import Manager
from contivpp.stn.probes import Probes
from contivpp.stn.saved import RefusedError
from contivpp.stn.theft import Theft
from contivpp.stn.watch import Limits, Seen, Verdict, Watch

log = logging.getLogger(__name__)

FAILURES: Final = (CommandError, DriverError, MachineError, RefusedError, OSError)
"""What a step of the theft can raise."""
_PERIOD: Final = 1.0
_CHANCES: Final = 2
_MENDING: Final = 30.0
_AGAIN: Final = 5.0
"""Seconds between two attempts to give a NIC back, and for which a gateway must have answered the kernel again."""


class StealFailedError(Exception):
    """A NIC was not taken, or not given back; one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How a NIC is to be taken; `word` is in seconds, 0 for nobody's; `delay` in seconds."""

    wanted: Wanted
    word: float = 0.0
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What is known now; `left` in seconds."""

    journal: Journal | None
    left: float = 0.0
    problems: tuple[str, ...] = ()


class Keeper:
    """Owns the journal; `run` is a root task."""

    def __init__(
        self,
        store: Store,
        machine: Machine,
        drivers: Drivers,
        theft: Theft,
        others: Sequence[Manager],
        probes: Probes,
        *,
        limits: Limits,
        boot: str,
        node_ip: str = "",
        extra_probes: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes what it works with.

        Args:
            store: the journal's file.
            machine: the links of the node.
            drivers: who changes drivers.
            theft: the steps.
            others: who else configures NICs.
            probes: what is looked at.
            limits: how long what may take.
            boot: which run of the machine this is.
            node_ip: the node's address; "" lets the default route say which NIC is the node's.
            extra_probes: addresses that are as good as the gateway to tell whether the node is reached.
            clock: in seconds, the same one for all programs of one run of the machine.
        """
        self._store = store
        self._machine = machine
        self._drivers = drivers
        self._theft = theft
        self._others = others
        self._probes = probes
        self._limits = limits
        self._boot = boot
        self._node_ip = node_ip
        self._extra = tuple(extra_probes)
        self._clock = clock
        self._watch = Watch(limits, clock)
        self._journal: Journal | None = None
        self._lock = asyncio.Lock()
        self._problems: tuple[str, ...] = ()
        self._working: set[asyncio.Task[Any]] = set()
        self._mend_until = 0.0
        self._again_since = 0.0
        self._tried = float("-inf")

    # ---- what is asked for

    def report(self) -> Report:
        """What is known now."""
        journal = self._journal
        if journal is None:
            return Report(None)
        left = max(0.0, journal.deadline - self._clock()) if journal.deadline and journal.phase == "stolen" else 0.0
        return Report(journal, left, self._problems)

    async def look(self, request: Request) -> SavedNic:
        """The NIC as it is, if it may be taken now; changes nothing.

        Raises:
            RefusedStealError: it may not.
        """
        journal = self._journal
        if journal is not None and journal.phase != "returned":
            raise RefusedStealError(f"{journal.nic.name} is {journal.phase} already: give it back first")
        nic = await asyncio.to_thread(self._look, request.wanted)
        if not request.wanted.force and (missing := await self._not_running()):
            raise RefusedStealError(
                f"{' and '.join(missing)} must run before {nic.name} is taken, or the node would be away for a "
                "minute for nothing: start them, or take it with force"
            )
        return nic

    async def _not_running(self) -> list[str]:
        """What of VPP and the agent does not run; a busy one has a second chance."""
        missing: list[str] = []
        for _ in range(_CHANCES):
            vpp, (agent, _) = await asyncio.gather(self._probes.vpp(), self._probes.agent())
            missing = [name for name, runs in (("VPP", vpp), ("the agent", agent)) if not runs]
            if not missing:
                break
        return missing

    def _look(self, wanted: Wanted) -> SavedNic:
        return saved_nic(wanted, self._machine, self._drivers, self._others, node_ip=self._node_ip, now=self._clock())

    async def steal(self, request: Request) -> Report:
        """Takes a NIC; with a delay it only says that it will. One that is stolen already stays so.

        Raises:
            RefusedStealError: it may not be taken; nothing was changed.
            StealFailedError: it failed, and the NIC is as it was, or is being given back.
        """
        journal = self._journal
        same = journal is not None and request.wanted.name in ("", journal.nic.name)
        if same and journal is not None and journal.phase in ("stolen", "confirmed"):
            return self.report()
        if request.delay:
            await self.look(request)
            self._begin(self._steal_later(request))
            return self.report()
        return await self._whole(self._steal(request))

    async def _steal_later(self, request: Request) -> None:
        await asyncio.sleep(request.delay)
        try:
            await self._steal(request)
        except (RefusedStealError, StealFailedError) as error:
            log.error("%s", error)

    async def _steal(self, request: Request) -> Report:
        async with self._lock:
            nic = await self.look(request)
            probe = await self._probes.choose([*checks.gateways_of(nic), *self._extra])
            if not probe:
                log.warning("nothing that %s leads to answers probes: the agent's readiness has to do", nic.name)
            journal = Journal(phase="stealing", nic=nic, boot=self._boot, word=request.word > 0, probe=probe)
            coming = max(self._limits.coming_up, request.word)
            return await self._take(journal, coming)

    async def _take(self, journal: Journal, coming: float) -> Report:
        """From before the first change to stolen; what fails is given back. Under the lock."""
        nic = journal.nic
        log.info("taking %s (%s, %s)", nic.name, ", ".join(one.text for one in nic.addresses), nic.driver)
        start = self._clock()
        await self._save(journal)
        try:
            await asyncio.to_thread(self._theft.steal, nic)
        except FAILURES as error:
            reason = f"{nic.name} could not be taken: {error}"
            log.error("%s; giving it back", reason)
            await self._give_back(msgspec.structs.replace(journal, phase="releasing", reason=reason))
            raise StealFailedError(reason) from error
        self._watch = Watch(self._limits, self._clock)
        await self._save(msgspec.structs.replace(journal, phase="stolen", deadline=self._clock() + coming))
        log.info(
            "%s is taken after %.2f s; it goes back within %g s unless all is well",
            nic.name,
            self._clock() - start,
            coming,
        )
        return self.report()

    async def confirm(self, name: str) -> Report:
        """Somebody says that the node is reached.

        Raises:
            StealFailedError: the NIC is not stolen.
        """
        async with self._lock:
            journal = self._stolen(name)
            if journal.word:
                log.info("somebody confirmed that the node is reached")
                await self._save(msgspec.structs.replace(journal, word=False))
            return self.report()

    async def release(self, name: str) -> Report:
        """Gives the NIC back, and forgets it.

        Raises:
            StealFailedError: none is stolen, or it did not work yet and is tried again.
        """
        return await self._whole(self._release(name))

    async def _release(self, name: str) -> Report:
        async with self._lock:
            journal = self._known(name)
            if journal.phase == "returned":
                await self._forget()
                return self.report()
            asked = msgspec.structs.replace(journal, phase="releasing", reason="somebody asked for it", forgotten=True)
            if not await self._give_back(asked):
                raise StealFailedError(f"not everything is back yet, it is tried again: {'; '.join(self._problems)}")
            return self.report()

    def _known(self, name: str) -> Journal:
        journal = self._journal
        if journal is None or name not in ("", journal.nic.name):
            raise StealFailedError(f"no NIC {name} is stolen" if name else "no NIC is stolen")
        return journal

    def _stolen(self, name: str) -> Journal:
        journal = self._known(name)
        if journal.phase not in ("stolen", "confirmed"):
            why = f": {journal.reason}" if journal.reason else ""
            raise StealFailedError(f"{journal.nic.name} is not stolen, it is {journal.phase}{why}")
        return journal

    # ---- what it does by itself

    async def recover(self) -> None:
        """Goes on where the last run ended.

        Raises:
            JournalError: what it did cannot be read.
        """
        async with self._lock:
            journal = self._journal = await asyncio.to_thread(self._store.load)
            if journal is None:
                return
            log.info("%s is %s", journal.nic.name, journal.phase)
            restarted = journal.boot != self._boot and journal.phase != "returned"
            if journal.phase == "stealing" or restarted:
                what = "the machine was started anew" if restarted else "contiv-stn ended"
                reason = f"{what} before {journal.nic.name} was taken and confirmed"
                self._journal = msgspec.structs.replace(journal, phase="releasing", reason=reason)
            elif journal.phase == "stolen" and not journal.deadline:  # taken while the machine started
                self._journal = msgspec.structs.replace(journal, deadline=self._clock() + self._limits.coming_up)
            if self._journal is not None and self._journal.phase == "releasing":
                await self._give_back(self._journal)

    async def run(self) -> None:
        """Watches for ever."""
        while True:
            await asyncio.shield(self._begin(self.step()))  # `stop` waits for what has begun
            notify("WATCHDOG=1")
            await asyncio.sleep(_PERIOD)

    async def step(self) -> None:
        """Looks once, and does what follows from it."""
        if self._lock.locked():
            return
        async with self._lock:
            journal = self._journal
            if journal is None:
                return
            match journal.phase:
                case "stolen" | "confirmed":
                    await self._watch_over(journal)
                case "releasing":
                    if self._clock() - self._tried >= _AGAIN:
                        await self._give_back(journal)
                case "returned":
                    await self._look_after(journal)
                case _:
                    raise AssertionError(journal.phase)

    async def _watch_over(self, journal: Journal) -> None:
        seen = await self._see(journal)
        self._problems = seen.problems
        verdict = (
            self._watch.coming_up(seen, journal.deadline, word=journal.word)
            if journal.phase == "stolen"
            else self._watch.later(seen)
        )
        if verdict.confirm:
            log.info("all is well with %s: confirmed", journal.nic.name)
            await self._save(msgspec.structs.replace(journal, phase="confirmed", deadline=0.0, confirmed_once=True))
        elif verdict.reason:
            await self._lose(journal, verdict)

    async def _lose(self, journal: Journal, verdict: Verdict) -> None:
        log.error("giving %s back: %s", journal.nic.name, verdict.reason)
        losing = msgspec.structs.replace(
            journal, phase="releasing", reason=verdict.reason, again=verdict.gateway and journal.phase == "confirmed"
        )
        await self._give_back(losing)

    async def _see(self, journal: Journal) -> Seen:
        vpp, (agent, ready) = await asyncio.gather(self._probes.vpp(), self._probes.agent())
        reached = await self._probes.reached(journal.probe) if journal.probe else None
        return Seen(vpp, agent, ready, reached)

    async def _give_back(self, journal: Journal) -> bool:
        """Gives the NIC back; returns whether all of it is. Under the lock."""
        nic = journal.nic
        self._tried = self._clock()
        await self._note(journal)
        try:
            self._problems = tuple(await asyncio.to_thread(self._theft.give_back, nic, elapsed=self._elapsed(journal)))
        except FAILURES as error:
            self._problems = (f"{nic.name} is not as it was: {error}",)
            log.error("%s; trying again", self._problems[0])
            return False
        for problem in self._problems:
            log.warning("%s", problem)
        log.info("%s is back after %.2f s", nic.name, self._clock() - self._tried)
        self._mend_until = self._clock() + _MENDING
        self._again_since = 0.0
        if journal.forgotten:
            await self._forget()
            return True
        again = journal.again and not await self._probes.reached(journal.probe)
        if journal.again and not again:
            log.warning("the gateway answers the kernel: %s stays with it", nic.name)
        await self._note(msgspec.structs.replace(journal, phase="returned", deadline=0.0, again=again, boot=self._boot))
        return True

    async def _look_after(self, journal: Journal) -> None:
        """A NIC that went back: nobody may take off it again what it has, and it may be taken again."""
        if self._clock() < self._mend_until and not journal.nic.dhcp:
            try:
                mended = await asyncio.to_thread(self._theft.mend, journal.nic, elapsed=self._elapsed(journal))
            except FAILURES as error:
                self._problems = (f"{journal.nic.name} is not as it was: {error}",)
            else:
                self._problems = ()
                if mended:
                    log.warning("somebody took %s off %s: put back", ", ".join(mended), journal.nic.name)
        if not journal.again:
            return
        if not await self._probes.reached(journal.probe):
            self._again_since = 0.0
        elif not self._again_since:
            self._again_since = self._clock()
        elif self._clock() - self._again_since >= _AGAIN and (await self._see(journal)).agent:
            log.info("the gateway answers again: taking %s again", journal.nic.name)
            await self._take_again(journal)

    async def _take_again(self, journal: Journal) -> None:
        wanted = Wanted(journal.nic.name, journal.nic.driver, dhcp=journal.nic.dhcp, force=True)
        try:
            nic = await asyncio.to_thread(self._look, wanted)
            fresh = msgspec.structs.replace(journal, phase="stealing", nic=nic, again=False, reason="", word=False)
            await self._take(fresh, self._limits.coming_up)
        except (RefusedStealError, StealFailedError) as error:
            log.error("%s", error)

    async def stop(self) -> None:
        """Before the end: a NIC that nobody would watch, and that is not confirmed, goes back."""
        for task in tuple(self._working):
            await asyncio.wait([task])
        async with self._lock:
            journal = self._journal
            if journal is None or journal.phase != "stolen":
                return
            if journal.confirmed_once:  # the machine goes down a moment after it came up, say
                await self._note(msgspec.structs.replace(journal, phase="confirmed", deadline=0.0))
                return
            reason = "contiv-stn was stopped before it was confirmed"
            await self._give_back(msgspec.structs.replace(journal, phase="releasing", reason=reason))

    # ---- the journal and the work

    def _elapsed(self, journal: Journal) -> float:
        return self._clock() - journal.nic.saved_at if journal.boot == self._boot else float("inf")

    async def _save(self, journal: Journal) -> None:
        await asyncio.to_thread(self._store.save, journal)
        self._journal = journal

    async def _note(self, journal: Journal) -> None:
        """As `_save`; but a NIC goes back also when the disk is full: to do it twice does no harm."""
        try:
            await self._save(journal)
        except JournalError as error:
            log.error("%s", error)
            self._journal = journal

    async def _forget(self) -> None:
        try:
            await asyncio.to_thread(self._store.forget)
        except JournalError as error:
            log.error("%s", error)
        self._journal = None
        self._problems = ()

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return task

    async def _whole(self, work: Coroutine[Any, Any, Report]) -> Report:
        """To its end, also when whoever asked goes away."""
        task = self._begin(work)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

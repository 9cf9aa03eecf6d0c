"""When a stolen NIC is given back: pure decisions, from what is seen each second.

A NIC that was just taken has until a deadline: VPP and the agent must run, the gateway must answer by the new path,
and, if that was asked for, somebody must say that the node is reached. Later on each of these may be missing for a
while, and not longer. A gateway that answered nobody before the NIC was taken is not asked: then the agent must be
ready instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_LEAST: Final = 3
"""How often something must be seen missing, whatever the clock says: a machine may have been asleep."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what may take; in seconds.

    Attributes:
        coming_up: until VPP and the agent run and the gateway answers, after the NIC was taken.
        grace: for which VPP or the agent may be missing afterwards.
        unreachable: for which the gateway may be silent afterwards.
    """

    coming_up: float = 60.0
    grace: float = 30.0
    unreachable: float = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen at one moment.

    Attributes:
        vpp: whether somebody listens on VPP's socket.
        agent: whether the agent answers at all; `ready` whether it says that it is ready.
        reached: whether the gateway answered; None when it answers nobody.
    """

    vpp: bool
    agent: bool
    ready: bool
    reached: bool | None

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not well, one sentence each."""
        found = []
        if not self.vpp:
            found.append("VPP does not run")
        if not self.agent:
            found.append("the agent does not answer")
        if self.reached is False:
            found.append("the gateway does not answer by way of VPP")
        if self.reached is None and self.agent and not self.ready:
            found.append("the agent is not ready")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done.

    Attributes:
        confirm: all is well, and nothing more is waited for.
        reason: why the NIC is to be given back; "" when it is not.
        gateway: whether the gateway's silence is the only reason.
    """

    confirm: bool = False
    reason: str = ""
    gateway: bool = False


class Watch:
    """Remembers since when something is missing."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        """Takes the limits, and a clock in seconds."""
        self._limits = limits
        self._clock = clock
        self._missing: dict[str, tuple[float, int]] = {}

    def coming_up(self, seen: Seen, deadline: float, *, word: bool) -> Verdict:
        """After the NIC was taken; `word` says whether one is still waited for."""
        if not seen.problems and not word:
            self._missing.clear()
            return Verdict(confirm=True)
        if self._clock() < deadline:
            return Verdict()
        waited = [*seen.problems, *(["nobody confirmed that the node is reached"] if word else [])]
        return Verdict(reason=f"{' and '.join(waited)} in time", gateway=False)

    def later(self, seen: Seen) -> Verdict:
        """Once it was confirmed."""
        self._note("VPP does not run", missing=not seen.vpp)
        self._note("the agent does not answer", missing=not seen.agent)
        self._note("the gateway does not answer by way of VPP", missing=seen.reached is False)
        found = []
        gateway = True
        for what, (since, times) in self._missing.items():
            silent = what.startswith("the gateway")
            limit = self._limits.unreachable if silent else self._limits.grace
            if times >= _LEAST and self._clock() - since >= limit:
                found.append(f"{what} for {limit:g} s")
                gateway = gateway and silent
        return Verdict(reason=" and ".join(found), gateway=bool(found) and gateway)

    def _note(self, what: str, *, missing: bool) -> None:
        if not missing:
            self._missing.pop(what, None)
            return
        since, times = self._missing.get(what, (self._clock(), 0))
        self._missing[what] = since, times + 1

"""VPP and the agent as services of the node: ended at once when the NIC goes back, and started again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final

from contivpp.stn.commands import CommandError, Run, run

_ENDING: Final = 15.0


class Services:
    """Units of systemd."""

    def __init__(
        self,
        vpp: str = "contiv-vpp.service",
        agent: str = "contiv-agent.service",
        run: Run = run,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Takes the names of the units, "" for one that is not there, and who runs systemctl."""
        self._vpp = [vpp] if vpp else []
        self._agent = [agent] if agent else []
        self._run = run
        self._clock = clock
        self._sleep = sleep

    def end_vpp(self) -> None:
        """Ends VPP, and lets systemd start it as if it had not.

        Raises:
            CommandError: it does not end.
        """
        if self._vpp:
            self._end(self._vpp)
            self._run(["systemctl", "reset-failed", *self._vpp])

    def start_vpp(self) -> None:
        """Starts VPP, which looks at its devices then; does not wait until it has.

        Raises:
            CommandError: systemd does not take it.
        """
        if self._vpp:
            self._run(["systemctl", "start", "--no-block", *self._vpp])

    def end(self) -> None:
        """Ends both, whatever they are at: they let go of the NIC, and do nothing about it until they are started.

        Raises:
            CommandError: one of them does not end.
        """
        self._end([*self._agent, *self._vpp])

    def start(self) -> None:
        """Starts both; does not wait for them.

        Raises:
            CommandError: systemd does not take it.
        """
        if units := [*self._vpp, *self._agent]:
            self._run(["systemctl", "start", "--no-block", *units])

    def _end(self, units: Sequence[str]) -> None:
        if not units:
            return
        self._run(["systemctl", "stop", "--no-block", *units])
        with contextlib.suppress(CommandError):  # nothing of it is left already
            self._run(["systemctl", "kill", "--signal=KILL", *units])
        deadline = self._clock() + _ENDING
        while running := [one for one in units if not self._is_over(one)]:
            if self._clock() >= deadline:
                raise CommandError(f"{', '.join(running)} did not end within {_ENDING:g} s")
            self._sleep(0.05)

    def _is_over(self, unit: str) -> bool:
        state = self._run(["systemctl", "show", "--property=ActiveState", "--value", unit]).strip()
        return state in ("inactive", "failed", "")

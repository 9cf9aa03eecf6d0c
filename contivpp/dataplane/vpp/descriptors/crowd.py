"""AF_PACKET interfaces beyond the first few: made so that VPP does not stop for ever when all have a packet.

Why it would, and what is done about it: `edges`. The first few keep large rings, and VPP is woken as long as they have
packets. What cannot be done is said once, with the remedy: VPP works, until 16 have packets at the same moment.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Final

from contivpp.dataplane.vpp import edges
from contivpp.dataplane.vpp.edges import Entry

log = logging.getLogger(__name__)

FEW: Final = 8
"""Sockets that are as VPP made them: with those of a batch under way, and VPP's own files, fewer than 16."""


class Crowd:
    """The AF_PACKET sockets of the node's VPP, whose process is given by its ID every time: it may be another one."""

    def __init__(self) -> None:
        """Knows nothing yet."""
        self._said = ""

    def is_reached(self, process: int, added: int) -> bool:
        """Whether there are many, with `added` new ones."""
        return len(self._sockets(process)) + added > FEW

    @contextlib.contextmanager
    def joining(self, process: int) -> Iterator[None]:
        """For a block that makes sockets: they are woken once per packet."""
        before = self._sockets(process)
        try:
            yield
        finally:
            self._wake_once([one for one in self._sockets(process) if one not in before])

    def thin_out(self, process: int) -> None:
        """Leaves few as they are, as after an agent that knew nothing of this, or ended in between."""
        self._wake_once(self._sockets(process)[FEW:])

    def _sockets(self, process: int) -> Sequence[Entry]:
        try:
            return edges.level_triggered(process)
        except OSError as error:
            self._complain(error)
            return []

    def _wake_once(self, sockets: Sequence[Entry]) -> None:
        if not sockets:
            return
        try:
            edges.wake_once(sockets)
        except OSError as error:
            self._complain(error)
            return
        self._say(
            logging.INFO,
            f"VPP has more than {FEW} AF_PACKET interfaces: for the others it is woken once per packet, because with "
            "16 that have packets at the same moment it would stop for ever; their rings are smaller",
        )

    def _complain(self, error: OSError) -> None:
        self._say(
            logging.WARNING,
            f"VPP since 25.06 can stop for ever when 16 AF_PACKET interfaces have packets at the same moment, and "
            f"its process cannot be reached to prevent it ({error}): for more than 15 pods load vhost_net, and leave "
            "useTAPInterfaces on",
        )

    def _say(self, level: int, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            log.log(level, "%s", sentence)

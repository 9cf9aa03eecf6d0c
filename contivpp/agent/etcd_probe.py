"""Whether etcd answers, asked every `remoteDBProbingInterval`: for people and their alarms.

Following etcd needs no probe: a connection that died is noticed by its own keep-alive, and the follower goes on
after the last revision. But a node that reads nothing because nothing happens, and one that reads nothing because
etcd is gone, look the same from outside; this tells them apart. Source: spec/agent.md 2.4, 2.6.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from contivpp.agent import metrics
from contivpp.store.errors import PermissionDenied, StoreError

log = logging.getLogger(__name__)

KEY = "/probe-etcd-connection"


class EtcdProbe:
    """Asks etcd for a key that need not exist; `run` is a root task."""

    def __init__(self, store: Any, period: float) -> None:
        """Takes the store, and the seconds between two questions."""
        self._store = store
        self._period = period
        self.problem = ""

    async def probe(self) -> None:
        """Asks once."""
        try:
            await self._store.get(KEY)
            problem = ""
        except PermissionDenied:
            problem = ""  # it answered
        except StoreError as error:
            problem = str(error)
        if problem and not self.problem:
            log.warning("etcd does not answer: %s", problem)
        self.problem = problem
        metrics.PROBE.set(0 if problem else 1)

    async def run(self) -> None:
        """Asks for ever."""
        while True:
            await self.probe()
            await asyncio.sleep(self._period)

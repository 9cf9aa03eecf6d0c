"""KSR, put together: stand for election, and while leading reflect."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from contivpp.daemon import tasks
from contivpp.daemon.backoff import Backoff
from contivpp.daemon.http import Health, Server
from contivpp.daemon.http_config import HttpConfig
from contivpp.ksr import metrics, stats
from contivpp.ksr.kubernetes import Api, Broken, Changed, Listed, Resumed
from contivpp.ksr.reflector import Reflector, reflectors
from contivpp.ksr.writer import LeadershipLostError, Writer
from contivpp.store.client import Store
from contivpp.store.config import EtcdConfig
from contivpp.store.election import Election, Leadership

log = logging.getLogger(__name__)

ELECTION_KEY = "/contiv-ksr/election/leader"
LEASE_SECONDS = 5
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that is decided before KSR starts; `kubeconfig` None means the service account of a pod."""

    kubeconfig: Path | None
    etcd: EtcdConfig
    http: HttpConfig


async def run(settings: Settings) -> int:
    """Runs until a signal comes.

    Returns:
        The exit code.

    Raises:
        KubeConfigError: the kubeconfig cannot be used.
    """
    health = Health()
    api = await Api.open(settings.kubeconfig)
    try:
        async with await Store.open(settings.etcd) as store:
            return await tasks.run(
                {
                    "http": Server(settings.http, health=health).run(),
                    "reflection": _reflect_when_leading(store, api, health),
                }
            )
    finally:
        await api.close()


async def _reflect_when_leading(store: Store, api: Api, health: Health) -> None:
    """Stands for election again whenever leadership is lost; everything that is known is of one leadership."""
    identity = f"{socket.gethostname()}/{os.getpid()}"
    election = Election(store, ELECTION_KEY, identity, ttl=store.connection.config.session_ttl or 5)
    metrics.LEADER.set(0)
    while True:
        async with election.lead() as leadership:
            log.info("%s leads", identity)
            metrics.LEADER.set(1)
            try:
                await reflect(store, api, health, leadership)
            except* LeadershipLostError as lost:
                metrics.LEADER.set(0)  # resigning may take as long as etcd is away
                log.warning("%s leads no more, and stands for election again: %s", identity, lost.exceptions[0])


async def reflect(store: Store, api: Api, health: Health, leadership: Leadership) -> None:
    """Reflects until leadership is lost.

    Raises:
        LeadershipLostError: it is.
    """
    kinds = reflectors(slices=await _has_slices(api, health))
    writer = Writer(store, kinds, leadership.guard)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.follow(), name="etcd")
        group.create_task(writer.run(), name="writer")
        for reflector in kinds:
            group.create_task(_follow(api, reflector, writer, health), name=reflector.kind)
        group.create_task(_watch_health(writer, health), name="health")
        group.create_task(stats.publish(store, [reflector.kind for reflector in kinds]), name="stats")
        reason = await leadership.lost
        raise LeadershipLostError(reason)


async def _follow(api: Api, reflector: Reflector, writer: Writer, health: Health) -> None:
    health.set(reflector.kind, "not listed yet")
    while True:
        if reflector.optional:
            await _until_there(api, reflector, writer, health)
        async for update in api.follow(reflector.path):
            if isinstance(update, Broken):
                health.set(reflector.kind, update.reason)
                if reflector.optional and not await _is_there(api, reflector):
                    break
                continue
            health.set(reflector.kind, "")
            if not isinstance(update, Resumed):
                _take(reflector, writer, update)


def _take(reflector: Reflector, writer: Writer, update: Listed | Changed) -> None:
    touched = reflector.take(update)
    if isinstance(update, Listed):
        writer.resync(reflector.kind)
    writer.touch(reflector.kind, touched)


async def _until_there(api: Api, reflector: Reflector, writer: Writer, health: Health) -> None:
    """Waits until the API server has an optional kind; as long as it has not, there are no objects of it."""
    patience = Backoff(0.1, 10)
    while True:
        try:
            if await api.has(reflector.path):
                return
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            health.set(reflector.kind, f"{reflector.path}: {error or type(error).__name__}")
        else:
            health.set(reflector.kind, "")
            if reflector.desired or not reflector.complete:
                _take(reflector, writer, Listed(()))
        await asyncio.sleep(patience.next())


async def _is_there(api: Api, reflector: Reflector) -> bool:
    """Whether the API server has a kind; yes, when it does not answer."""
    try:
        return await api.has(reflector.path)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return True


async def _watch_health(writer: Writer, health: Health) -> None:
    while True:
        health.set("etcd", writer.problem)
        await asyncio.sleep(0.5)


async def _has_slices(api: Api, health: Health) -> bool:
    patience = Backoff(0.1, 10)
    while True:
        try:
            found = await api.has(SLICES)
            health.set("kubernetes", "")
            return found
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            health.set("kubernetes", f"{SLICES}: {error or type(error).__name__}")
            log.warning("waiting for the API server: %s", error or type(error).__name__)
            await asyncio.sleep(patience.next())

"""`contiv-playground apiserver`: the stand-in for kube-apiserver."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from contivpp.playground.apiserver import initial
from contivpp.playground.apiserver.rules import DEFAULT_SERVICE_CIDR
from contivpp.playground.apiserver.server import ApiServer, serve, tls
from contivpp.playground.apiserver.storage import DEFAULT_HISTORY, Storage
from contivpp.playground.service import notify

log = logging.getLogger("apiserver")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="contiv-playground apiserver", description=__doc__)
    parser.add_argument("--address", default="0.0.0.0", help="to listen on")  # noqa: S104 - TLS with client certificates
    parser.add_argument("--port", type=int, default=6443)
    parser.add_argument("--advertise-address", help="that of the service kubernetes; default: --address")
    parser.add_argument("--certificate", help="of the server; without one, only a loopback address is served")
    parser.add_argument("--key", help="of the server")
    parser.add_argument("--ca", help="whose certificates clients must have")
    parser.add_argument("--file", type=Path, help="SQLite file that keeps the objects; without one they are lost")
    parser.add_argument("--service-cidr", default=DEFAULT_SERVICE_CIDR)
    parser.add_argument("--history", type=int, default=DEFAULT_HISTORY, help="changes to remember per resource")
    parser.add_argument("--bookmark-interval", type=float, default=30.0, help="seconds")
    options = parser.parse_args(arguments)
    given = [bool(options.certificate), bool(options.key), bool(options.ca)]
    if any(given) != all(given):
        parser.error("--certificate, --key and --ca go together")
    if not any(given) and not ipaddress.ip_address(options.address).is_loopback:
        parser.error("without --certificate, --key and --ca anybody could do anything: serve 127.0.0.1 only")
    return options


async def _run(options: argparse.Namespace) -> None:
    storage = Storage(options.file, history=options.history)
    server = ApiServer(storage, service_cidr=options.service_cidr, bookmark_interval=options.bookmark_interval)
    context = tls(options.certificate, options.key, options.ca) if options.certificate else None
    runner, port = await serve(server, options.address, options.port, context)
    try:
        advertise = options.advertise_address or options.address
        if not ipaddress.ip_address(advertise).is_unspecified:
            initial.ensure(server.objects, server.rules, advertise, port)
        else:
            initial.ensure(server.objects, server.rules, "127.0.0.1", port)
        log.info("serving on %s port %d, revision %d", options.address, port, storage.revision)
        notify("READY=1")
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()
    finally:
        notify("STOPPING=1")
        server.close_watches()
        await runner.cleanup()
        storage.close()


def main(arguments: Sequence[str]) -> int:
    """Serves until it is told to stop; returns the exit code."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        asyncio.run(_run(options))
    except (OSError, ValueError) as error:  # a port in use, a certificate that is none
        print(f"contiv-playground apiserver: {error}", file=sys.stderr)
        return 1
    return 0

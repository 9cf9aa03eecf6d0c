"""What runs in a pod that names no command: an HTTP server that answers with the pod's name.

A script of its own on the standard library, run by the node's Python in the pod's network namespace:
`pod_server.py NAME READY_FILE PORT/PROTOCOL...`. A UDP port sends back the name to whoever sends anything.
It makes READY_FILE once it listens everywhere.
"""

from __future__ import annotations

import http.server
import os
import signal
import socket
import socketserver
import sys
import threading
from pathlib import Path


def _handler(name: str) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = f"{name}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Client-Address", str(self.client_address[0]))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the library's name

    return Handler


class _Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 128

    def server_bind(self) -> None:
        # One socket for both families; without IPv6 in the kernel, see `_serve`.
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "pod", self.server_address[1]


class _ServerV4(_Server):
    address_family = socket.AF_INET


def _serve(name: str, port: int) -> None:
    try:
        server: _Server = _Server(("::", port), _handler(name))
    except OSError:
        server = _ServerV4(("0.0.0.0", port), _handler(name))  # noqa: S104 - a pod listens everywhere
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _echo(name: str, port: int) -> None:
    channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    channel.bind(("", port))

    def answer() -> None:
        while True:
            _, peer = channel.recvfrom(65535)
            channel.sendto(f"{name}\n".encode(), peer)

    threading.Thread(target=answer, daemon=True).start()


def main() -> None:
    """Serves until it is told to stop; does not return."""
    name, ready, *ports = sys.argv[1:]
    # Blocked before there are threads, and then waited for: no signal can come between a look and a wait.
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    for port in ports:
        value, protocol = port.split("/")
        if protocol == "TCP":
            _serve(name, int(value))
        elif protocol == "UDP":
            _echo(name, int(value))
    Path(ready).touch()
    signal.sigwait(signals)
    os._exit(0)


if __name__ == "__main__":
    main()

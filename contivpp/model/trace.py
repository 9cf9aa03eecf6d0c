"""The trace of a flow: which packets are meant, and what one of them met on a node.

Agents tell it over REST, and the operator's tool joins what several of them tell.
"""

from __future__ import annotations

import ipaddress
from typing import Literal

import msgspec

Kind = Literal[
    "in", "lookup", "policy", "service", "source", "tunnel-in", "tunnel-out", "out", "local", "punt", "drop", "sent"
]
Verdict = Literal["sent", "dropped", "local", "punted", "unfinished"]
_LAST_PORT = 65535


class Flow(msgspec.Struct, frozen=True):
    """Who talks to whom, as the one who begins sees it.

    Attributes:
        source_port: for icmp the identifier of its echo requests.
        destination_port: 0 for icmp.
    """

    protocol: Literal["tcp", "udp", "icmp"]
    source: str
    destination: str
    source_port: int
    destination_port: int = 0

    def check(self) -> None:
        """Looks at what the types do not say.

        Raises:
            ValueError: an address or a port is none, or the addresses are of two IP versions.
        """
        if ipaddress.ip_address(self.source).version != ipaddress.ip_address(self.destination).version:
            message = f"{self.source} and {self.destination} are of two IP versions"
            raise ValueError(message)
        lowest = 0 if self.protocol == "icmp" else 1
        for port, least in ((self.source_port, 1), (self.destination_port, lowest)):
            if not least <= port <= _LAST_PORT:
                message = f"{port} is not a port of {self.protocol}"
                raise ValueError(message)

    @property
    def version(self) -> int:
        """The IP version."""
        return ipaddress.ip_address(self.source).version


def place(address: str, port: int | str) -> str:
    """An address and a port as people write them; only the address where there are no ports."""
    if not int(port):
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def parts_of(text: str) -> tuple[str, int]:
    """The address and the port of a `place`; port 0 where there is none."""
    if text.startswith("["):
        address, _, port = text[1:].partition("]:")
        return address, int(port)
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        return address, int(port)
    return text, 0


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that a packet met.

    Attributes:
        graph_node: the node of VPP's graph that said so.
        interface: the logical name, or VPP's own for one that is not ours.
        table: in which a route was looked for.
        reason: why it was dropped, in VPP's words and, where these need it, in others.
        rule: of an access list, with what it said; "" where the packet belongs to a connection that is known.
        allowed: what the access list said.
        source: "address:port" from which the packet came to an access list, or to be translated.
        target: the same for where it was going.
        translated: of a service: what was put in place of the target, or of the source in a reply. Of a hidden source:
            what was put in its place, or in place of the target in a reply.
        service: the Kubernetes service whose translation this was.
        policy: the rule of a network policy that decides, or which isolate the pod where none does.
    """

    kind: Kind
    graph_node: str
    interface: str = ""
    next_hop: str = ""
    table: str = ""
    reason: str = ""
    rule: str = ""
    allowed: bool = True
    source: str = ""
    target: str = ""
    translated: str = ""
    service: str = ""
    policy: str = ""


class TracedPacket(msgspec.Struct, frozen=True):
    """One packet of the flow on one node.

    Attributes:
        time: seconds since VPP started.
        reply: whether it goes against the flow.
        summary: what it is: "TCP SYN", "ICMP echo_request".
        key: the same for this packet on every node, as far as that can be told.
        graph: every node of VPP's graph, in order.
        text: as VPP prints it.
    """

    time: float
    reply: bool
    summary: str
    key: str
    steps: tuple[Step, ...]
    verdict: Verdict
    reason: str = ""
    graph: tuple[str, ...] = ()
    text: str = ""


class ProbeResult(msgspec.Struct, frozen=True):
    """What became of one probe; `outcome` is a word or two for people, `answered` whether anything came back."""

    answered: bool
    outcome: str

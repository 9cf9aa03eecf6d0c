"""The trace of a flow: which packets are meant, and what one of them met on a node, whatever forwards there.

Agents tell it over REST, and the operator's tool joins what several of them tell. What tells a step is a place: with
VPP a node of its graph, with the kernel a chain of nftables.
"""

from __future__ import annotations

import ipaddress
from typing import Final, Literal

import msgspec

Kind = Literal[
    "in", "made", "lookup", "policy", "service", "source", "tunnel-in", "tunnel-out", "out", "local", "punt", "drop",
    "sent",
]  # fmt: skip
Verdict = Literal["sent", "dropped", "local", "punted", "unfinished"]
Way = Literal["", "egress", "ingress"]
PROTOCOLS: Final = {"icmp": {4: 1, 6: 58}, "tcp": {4: 6, 6: 6}, "udp": {4: 17, 6: 17}}
"""The numbers of protocols, by their names and the IP version."""
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
        kind: "made" is a packet of the node's own; "local" one that the node itself took.
        at: what said so: a node of VPP's graph, or a chain.
        interface: the logical name, or the data plane's own for one that is not ours.
        next_hop: the address of who gets the packet next, or in a tunnel of the node at its other end.
        table: in which a route was looked for.
        reason: why it was dropped, in the data plane's words and, where these need it, in others; of a service that
            translated nothing, why.
        rule: of a policy, with what it said; "" where the packet belongs to a connection that is known.
        allowed: what the rule said.
        way: whose packets the rule is about: what a pod sends, or what it gets.
        source: "address:port" from which the packet came to a policy, or to be translated. To a policy that judges
            replies by what they answer it is the source of that.
        target: the same for where it was going.
        translated: of a service: what was put in place of the target, or of the source in a reply. Of a hidden source:
            what was put in its place, or in place of the target in a reply.
        service: the Kubernetes service whose translation this was.
        policy: the rule of a network policy that decides, or which isolate the pod where none does.
    """

    kind: Kind
    at: str
    interface: str = ""
    next_hop: str = ""
    table: str = ""
    reason: str = ""
    rule: str = ""
    allowed: bool = True
    way: Way = ""
    source: str = ""
    target: str = ""
    translated: str = ""
    service: str = ""
    policy: str = ""


class TracedPacket(msgspec.Struct, frozen=True):
    """One packet of the flow on one node.

    Attributes:
        time: seconds since VPP, or the node, started.
        reply: whether it goes against the flow.
        summary: what it is: "TCP SYN", "ICMP echo_request".
        key: the same for this packet on every node, as far as that can be told.
        reason: why it was dropped, or for an unfinished one where it was seen last.
        path: every place that told of it, in order.
        text: as VPP prints it; with the kernel a line for every message.
    """

    time: float
    reply: bool
    summary: str
    key: str
    steps: tuple[Step, ...]
    verdict: Verdict
    reason: str = ""
    path: tuple[str, ...] = ()
    text: str = ""


class ProbeResult(msgspec.Struct, frozen=True):
    """What became of one probe; `outcome` is a word or two for people, `answered` whether anything came back."""

    answered: bool
    outcome: str

"""The headers of a packet as trace messages have them: between whom, what it is, and what no node changes of it."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

from contivpp.dataplane.tracing import key_of
from contivpp.model.trace import PROTOCOLS, place

_NAMES: Final = {number: name for name, numbers in PROTOCOLS.items() for number in numbers.values()}
_FLAGS: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
_TYPES: Final = {
    4: {0: "echo_reply", 3: "destination_unreachable", 8: "echo_request", 11: "time_exceeded", 12: "parameter_problem"},
    6: {
        1: "destination_unreachable", 2: "packet_too_big", 3: "time_exceeded", 4: "parameter_problem",
        128: "echo_request", 129: "echo_reply",
    },
}  # fmt: skip
_NAMES_OF_ICMP: Final = {4: "ICMP", 6: "ICMP6"}
_TCP: Final = struct.Struct(">HHIIBBH")
_PORTS: Final = struct.Struct(">HHH")
_ICMP: Final = struct.Struct(">BxH")
_IP4_SIZE, _IP6_SIZE = 20, 40


@dataclass(frozen=True, slots=True)
class Header:
    """Between whom a packet goes, as far as it is told.

    Attributes:
        source, destination: addresses.
        source_port, destination_port: 0 where there are none.
        summary: what it is: "TCP SYN", "ICMP echo_request".
        key: what no node on the way changes: not its ends, nor the time to live, nor a checksum.
    """

    source: str
    destination: str
    source_port: int
    destination_port: int
    summary: str
    key: str

    @property
    def sender(self) -> str:
        """The source with its port."""
        return place(self.source, self.source_port)

    @property
    def target(self) -> str:
        """The destination with its port."""
        return place(self.destination, self.destination_port)


def parse(network: bytes, transport: bytes) -> Header | None:
    """What two headers say; None when they are cut off."""
    identity: tuple[int, ...]
    version = network[0] >> 4 if network else 0
    if version == 4 and len(network) >= _IP4_SIZE:
        source, destination = network[12:16], network[16:20]
        number, identity = network[9], (int.from_bytes(network[4:6], "big"),)
    elif version == 6 and len(network) >= _IP6_SIZE:
        source, destination = network[8:24], network[24:40]
        number, identity = network[6], ()
    else:
        return None
    protocol = _NAMES.get(number, str(number))
    ends = str(ipaddress.ip_address(source)), str(ipaddress.ip_address(destination))
    if protocol == "tcp" and len(transport) >= _TCP.size:
        from_port, to_port, sequence, acknowledged, _, flags, window = _TCP.unpack_from(transport)
        names = [name for bit, name in enumerate(_FLAGS) if flags >> bit & 1]
        key = key_of("TCP", *identity, sequence, acknowledged, flags, window)
        return Header(*ends, from_port, to_port, " ".join(("TCP", *names)), key)
    if protocol == "udp" and len(transport) >= _PORTS.size:
        from_port, to_port, length = _PORTS.unpack_from(transport)
        return Header(*ends, from_port, to_port, "UDP", key_of("UDP", *identity, length))
    if protocol == "icmp" and len(transport) >= _ICMP.size:
        name, (kind, checksum) = _NAMES_OF_ICMP[version], _ICMP.unpack_from(transport)
        summary = f"{name} {_TYPES[version].get(kind, f'type_{kind}')}"
        return Header(*ends, 0, 0, summary, key_of(name, *identity, checksum))
    return Header(*ends, 0, 0, protocol.upper(), key_of(protocol.upper(), *identity))

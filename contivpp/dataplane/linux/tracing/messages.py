"""What the kernel tells of a marked packet: a message for every rule that it matched, and for the end of every chain.

The headers of the packet, and the links that it came and goes by, are in the first message of each hook that it passes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from contivpp.dataplane.linux.dumps import attributes
from contivpp.dataplane.linux.netlink import parts

_TRACE: Final = 10 << 8 | 17
_FAMILY_HEADER: Final = 4
_FAMILIES: Final = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_TABLE, _CHAIN, _HANDLE, _TYPE, _VERDICT, _ID, _LINK, _NETWORK, _TRANSPORT = 1, 2, 3, 4, 5, 6, 7, 8, 9
_IN, _OUT, _POLICY = 10, 12, 16
_CODE, _TARGET = 1, 2
_RULE, _POLICY_TYPE = 3, 1
_VERDICTS: Final = {
    0: "drop", 1: "accept", 2: "stolen", 3: "queue", -1: "continue", -2: "break", -3: "jump", -4: "goto", -5: "return",
}  # fmt: skip

Kind = Literal["rule", "policy", "return"]


@dataclass(frozen=True, slots=True)
class TraceMessage:
    """One message.

    Attributes:
        id: the kernel's for the packet; it may be that of another packet later.
        time: of the clock that counts since the node started, in seconds.
        kind: a rule that matched, the policy of a hook's chain, or the end of another chain.
        family: of the table.
        handle: of the rule; 0 for the end of the rules.
        verdict: "drop", "accept", "continue", "jump", "goto", "return" and so on.
        target: the chain of a jump or goto.
        came_by: the index of the link; 0 when it is not told, or there is none.
        goes_by: the same.
        link: the link layer's header, like the others b"" when it is not told.
        network: the IP header, without what of IPv6 follows it.
        transport: the first 20 bytes.
    """

    id: int
    time: float
    kind: Kind
    family: str
    table: str
    chain: str
    handle: int = 0
    verdict: str = "continue"
    target: str = ""
    came_by: int = 0
    goes_by: int = 0
    link: bytes = b""
    network: bytes = b""
    transport: bytes = b""

    @property
    def place(self) -> str:
        """The chain, with its table."""
        return f"{self.family} {self.table} {self.chain}"

    def __str__(self) -> str:
        """For people."""
        what = f"rule {self.handle}" if self.kind == "rule" and self.handle else self.kind
        if self.kind == "rule" and not self.handle:
            what = "end"
        said = f"{self.id:08x} {self.place} {what}: {self.verdict} {self.target}".rstrip()
        return f"{said} ip {self.network.hex()} transport {self.transport.hex()}" if self.network else said


def read(data: bytes, time: float) -> Iterator[TraceMessage]:
    """The messages in what a socket gave."""
    for kind, _, _, payload in parts(data):
        if kind == _TRACE:
            found = dict(attributes(payload[_FAMILY_HEADER:]))
            verdict = dict(attributes(found.get(_VERDICT, b"")))
            code = struct.unpack(">i", verdict[_CODE])[0] if _CODE in verdict else _number(found.get(_POLICY), -1)
            said = _number(found.get(_TYPE))
            yield TraceMessage(
                id=_number(found.get(_ID)),
                time=time,
                kind="rule" if said == _RULE else "policy" if said == _POLICY_TYPE else "return",
                family=_FAMILIES.get(payload[0], str(payload[0])),
                table=_text(found.get(_TABLE)),
                chain=_text(found.get(_CHAIN)),
                handle=_number(found.get(_HANDLE)),
                verdict=_VERDICTS.get(code, str(code)),
                target=_text(verdict.get(_TARGET)),
                came_by=_number(found.get(_IN)),
                goes_by=_number(found.get(_OUT)),
                link=found.get(_LINK, b""),
                network=found.get(_NETWORK, b""),
                transport=found.get(_TRANSPORT, b""),
            )


def _number(raw: bytes | None, otherwise: int = 0) -> int:
    return int.from_bytes(raw, "big") if raw else otherwise


def _text(raw: bytes | None) -> str:
    return (raw or b"").rstrip(b"\0").decode(errors="replace")

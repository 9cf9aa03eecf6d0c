"""What the links of the node carried, as the kernel counts it.

Read as text from /proc/net/dev: of 220 links that takes a millisecond, and a dump by netlink a hundred.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from contivpp.dataplane.counters import InterfaceCounters
from contivpp.dataplane.linux.kernel import Kernel
from contivpp.dataplane.linux.netlink import NamespaceGoneError, entered

# By thread, because it is this thread that enters the namespace.
_FILE: Final = Path("/proc/thread-self/net/dev")
_HEADER_LINES: Final = 2


def read(kernel: Kernel) -> list[InterfaceCounters]:
    """The counters of every link of ours that is on the node; empty when the node's namespace is gone."""
    try:
        with entered(kernel.netns):
            text = _FILE.read_text(encoding="utf-8")
    except (NamespaceGoneError, OSError):
        return []
    links = kernel.node_links()
    found = []
    for line in text.splitlines()[_HEADER_LINES:]:
        name, _, numbers = line.rpartition(":")
        if (link := links.get(name.strip())) is not None:
            found.append(_counters(link, [int(number) for number in numbers.split()]))
    return sorted(found, key=lambda one: one.name)


def _counters(link: str, numbers: list[int]) -> InterfaceCounters:
    received, sent = numbers[:8], numbers[8:]
    return InterfaceCounters(
        name=link,
        receive_packets=received[1],
        receive_bytes=received[0],
        transmit_packets=sent[1],
        transmit_bytes=sent[0],
        drops=received[3] + sent[3],
        receive_errors=received[2],
        transmit_errors=sent[2],
        missed=received[4],
    )

"""What a link leaves to others, or does to frames by itself; by ioctl, for every kernel has that.

A pair of links never needs checksums between two kernels, so by default packets cross it without. AF_PACKET hands
them out as they are: VPP would drop them. Turning it off also ends segmentation by the receiver, so that no frame is
larger than the MTU.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from typing import Final

from contivpp.dataplane.linux.netlink import entered

_SIOCETHTOOL: Final = 0x8946
_GET_TX_CHECKSUMS: Final = 0x16
_SET_TX_CHECKSUMS: Final = 0x17
_GET_MERGING: Final = 0x2B  # GRO
_SET_MERGING: Final = 0x2C
_VALUE: Final = struct.Struct("=II")
_REQUEST: Final = struct.Struct("16sP16x")


def merging(netns: str, link: str) -> bool:
    """Whether the kernel merges frames that a link receives to larger ones; raises as `checksums` does."""
    return bool(_ask(netns, link, _GET_MERGING, 0))


def set_merging(netns: str, link: str, *, on: bool) -> None:
    """Lets it, or not; raises as `set_checksums` does."""
    _ask(netns, link, _SET_MERGING, int(on))


def checksums(netns: str, link: str) -> bool:
    """Whether a link leaves the checksums of what it sends to the receiver.

    Args:
        netns: path of the link's namespace; "" is this process's.
        link: the kernel's name.

    Raises:
        NamespaceGoneError: there is no such namespace.
        OSError: there is no such link.
    """
    return bool(_ask(netns, link, _GET_TX_CHECKSUMS, 0))


def set_checksums(netns: str, link: str, *, on: bool) -> None:
    """Leaves them to the receiver, or computes them before they are sent.

    Raises:
        NamespaceGoneError: there is no such namespace.
        OSError: there is no such link, or it cannot.
    """
    _ask(netns, link, _SET_TX_CHECKSUMS, int(on))


def _ask(netns: str, link: str, command: int, value: int) -> int:
    buffer = array.array("B", _VALUE.pack(command, value))
    with entered(netns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        fcntl.ioctl(asking, _SIOCETHTOOL, _REQUEST.pack(link.encode(), buffer.buffer_info()[0]))
    return int(_VALUE.unpack(buffer.tobytes())[1])

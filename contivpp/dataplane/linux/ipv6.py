"""IPv6 on a link in a namespace: on, without duplicate address detection, and deaf to announcements of routers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from contivpp.dataplane.linux.netlink import entered

_CONF: Final = Path("/proc/sys/net/ipv6/conf")
_WANTED: Final = {
    "accept_ra": "0",
    "accept_redirects": "0",
    "accept_dad": "0",
    "dad_transmits": "0",
    "disable_ipv6": "0",
}
"""In this order: once IPv6 is on, the rest must be as it should be. All together nobody else has them by chance."""


def turn_on(netns: str, link: str) -> None:
    """Turns it on, before the link is up.

    Args:
        netns: path of the namespace; "" is this process's.
        link: name of the link in there.

    Raises:
        OSError: the kernel has no IPv6, or there is no such link.
    """
    with entered(netns):
        for name, value in _WANTED.items():
            (_CONF / link / name).write_text(value)


def is_on(netns: str, link: str) -> bool:
    """Whether it is as `turn_on` leaves it."""
    with entered(netns):
        try:
            return all((_CONF / link / name).read_text().strip() == value for name, value in _WANTED.items())
        except FileNotFoundError:
            return False

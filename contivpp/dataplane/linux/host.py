"""The node's own addresses, and word when they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from contivpp.dataplane.linux import dumps, messages
from contivpp.dataplane.linux.kernel import Kernel, parse_alias
from contivpp.dataplane.linux.netlink import Netlink, parts

HostAddress = tuple[str, str, int]
"""Link, address with prefix length ("" for a link without any), MTU of the link in bytes."""

_GROUPS = 0x1 | 0x10 | 0x100  # links, IPv4 addresses, IPv6 addresses
_GONE = 21  # RTM_DELADDR
_LOOPBACK_FLAG = 0x8
_SETTLE = 0.2


def addresses(kernel: Kernel, *, bare: bool = False) -> tuple[HostAddress, ...]:
    """Global addresses of links that are not ours and are up, sorted; with `bare` also every link that has none."""
    links = {}
    down = set()
    for link in kernel.links():
        ours = parse_alias(link.get_attr("IFLA_IFALIAS")) is not None
        if not ours and not link["flags"] & _LOOPBACK_FLAG:
            links[link["index"]] = (link.get_attr("IFLA_IFNAME"), link.get_attr("IFLA_MTU") or 0)
            if not link["flags"] & messages.UP:
                down.add(link["index"])
    found = []
    for item in kernel.node.dump(dumps.ADDRESSES):
        if item["index"] in links and item["index"] not in down and item["scope"] == 0:
            name, mtu = links[item["index"]]
            found.append((name, _text(item), mtu))
    if bare:
        used = {name for name, _, _ in found}
        found += [(name, "", mtu) for name, mtu in links.values() if name not in used]
    return tuple(sorted(found))


async def watch(kernel: Kernel, *, bare: bool = False) -> AsyncIterator[tuple[HostAddress, ...]]:
    """The addresses now, and again whenever they changed; a burst of changes counts as one.

    An address that went and came back in one is told as well: the kernel forgot the routes that have it as source.
    """
    loop = asyncio.get_running_loop()
    with Netlink(kernel.netns, groups=_GROUPS) as monitor:
        monitor.socket.setblocking(False)
        last = addresses(kernel, bare=bare)
        yield last
        while True:
            went = False
            try:
                news = await loop.sock_recv(monitor.socket, 1 << 16)
                await asyncio.sleep(_SETTLE)
                while True:
                    went = went or _went(news, last)
                    news = monitor.socket.recv(1 << 16)
            except BlockingIOError:
                pass
            except OSError:  # news were lost: what counts is what is there now
                went = True
                await asyncio.sleep(_SETTLE)
            if (now := addresses(kernel, bare=bare)) != last or went:
                last = now
                yield now


def _went(news: bytes, known: Sequence[HostAddress]) -> bool:
    """Whether the kernel says that an address which is known went."""
    there = {address for _, address, _ in known}
    return any(kind == _GONE and _text(dumps.ADDRESSES.answer(payload)) in there for kind, _, _, payload in parts(news))


def _text(item: dumps.Answer) -> str:
    return f"{item.get_attr('IFA_LOCAL') or item.get_attr('IFA_ADDRESS')}/{item['prefixlen']}"

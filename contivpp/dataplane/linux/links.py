"""Pairs of links to pods, the VXLAN device, and ends of links that another data plane makes."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contivpp.dataplane.linux import ipv6, messages, offload
from contivpp.dataplane.linux.ends import End
from contivpp.dataplane.linux.kernel import GONE, Kernel, Look, Place, alias_of, parse_alias
from contivpp.dataplane.linux.netlink import KernelError, NamespaceGoneError
from contivpp.dataplane.linux.values import LinkEnd, LinkName, TapEnd, Veth, Vxlan, is_pod_end
from contivpp.scheduler.api import DONE, Dependency, Observed, Operation, OperationKind, Outcome, by_key

_ETHERNET_MTU = 1500
_LONGEST_NAME = 15
_OWN_NAMESPACE = "/proc/thread-self/ns/net"


Link = Veth | Vxlan | TapEnd


class LinkDescriptor:
    """Links that carry our alias; all others are not ours to change."""

    name = "linux-link"
    prefix = Veth.prefix

    def __init__(self, kernel: Kernel) -> None:
        """Takes the node's kernel."""
        self._kernel = kernel

    def dependencies(self, key: str, link: Link) -> Iterable[Dependency]:
        """None: a namespace is given from outside; an end comes with the link that it is the end of."""
        for name in (link.host_name, link.peer_name if isinstance(link, Veth) else ""):
            if len(name) > _LONGEST_NAME:
                message = f"the name of a link has at most {_LONGEST_NAME} characters: {name!r}"
                raise ValueError(message)
        if isinstance(link, TapEnd):
            yield Dependency("link", link.made_by)

    def derived(self, key: str, link: Link) -> Mapping[str, Any]:
        """The other end, and the names on the node, for what is on them to depend on."""
        if isinstance(link, Vxlan):
            return {}
        if isinstance(link, TapEnd):
            if is_pod_end(link.name):
                return by_key(LinkEnd(link.name))
            return {} if link.netns else by_key(LinkName(link.host_name))
        names = (link.host_name,) if link.netns else (link.host_name, link.peer_name)
        return by_key(LinkEnd(Veth.peer_link(link.name)), *map(LinkName, names))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One link after the other: each is a few messages that need each other."""
        return [self._one(operation) for operation in operations]

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every link of ours; a pair whose other end is not as we made it looks different, and is made anew."""
        found: dict[str, Observed] = {}
        look = await self._kernel.look()
        for link in look.tables[""].links:
            known = parse_alias(link.get_attr("IFLA_IFALIAS"))
            if known is None:
                continue
            name, netns = known
            if is_pod_end(name):
                continue
            if name in self._kernel.ends.all():
                continue
            pair = bool(netns) or _kind(link) == "veth"
            value = self._veth(link, name, netns, look) if pair else _vxlan(link, name)
            found[value.key] = Observed(value, metadata={"ifindex": link["index"]})
        for name, end in self._kernel.ends.all().items():
            if (place := look.places.get(name)) is not None:
                has_ipv6 = False
                with contextlib.suppress(NamespaceGoneError):
                    has_ipv6 = ipv6.is_on(place.netns or self._kernel.netns, place.name)
                tap = TapEnd(name, place.name, place.netns, end.made_by, has_ipv6)
                found[tap.key] = Observed(tap, metadata={"ifindex": place.index})
        return found

    def _one(self, operation: Operation) -> Outcome:
        try:
            match operation:
                case Operation(kind=OperationKind.DELETE, value=link):
                    self._delete(link)
                case Operation(kind=OperationKind.CREATE, value=Veth() as link):
                    self._create_veth(link)
                case Operation(kind=OperationKind.CREATE, value=Vxlan() as link):
                    self._create_vxlan(link)
                case Operation(kind=OperationKind.CREATE, value=TapEnd() as link):
                    self._take_over(link)
                case Operation(value=link, previous=previous):
                    if not _can_change(previous, link):
                        return Outcome(recreate=True)
                    self._change(previous, link)
        except NamespaceGoneError as error:
            return Outcome(error=str(error))
        except KernelError as error:
            return Outcome(error=f"link {operation.value.host_name}: {error}")
        except OSError as error:
            return Outcome(error=f"link {operation.value.host_name}: {error.strerror}")
        return DONE

    def _create_veth(self, link: Veth) -> None:
        try:
            netns = os.open(link.netns or self._kernel.netns or _OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NamespaceGoneError(f"there is no network namespace {link.netns}") from error
        try:
            self._node_burst(
                link,
                f"there is a link {link.host_name} on the node, or {link.peer_name} in the pod's namespace, "
                "that is not ours: remove it",
                messages.new_veth(link.host_name, link.mac, link.peer_name, link.peer_mac, link.mtu, netns),
                *([messages.silence_link(link.host_name)] if not link.offload else []),
                messages.set_link(link.host_name, alias=alias_of(link.name, link.netns)),
            )
        finally:
            os.close(netns)
        peer = Veth.peer_link(link.name)
        try:
            if link.ipv6:
                ipv6.turn_on(link.netns or self._kernel.netns, link.peer_name)
            with self._kernel.open(link.netns) as inside:
                inside.must(
                    *([messages.silence_link(link.peer_name)] if not link.offload and not link.ipv6 else []),
                    messages.set_link(link.peer_name, alias=alias_of(peer, link.netns)),
                    *([messages.set_link("lo")] if link.netns else []),
                )
                index = inside.index_of(messages.get_link(link.peer_name))
            self._kernel.note(peer, Place(link.netns, index, link.peer_name))
            if not link.offload:
                self._set_offload(link)
        except (KernelError, NamespaceGoneError, OSError):
            self._remove(link.host_name)
            raise

    def _create_vxlan(self, link: Vxlan) -> None:
        parent = 0
        if link.parent:
            parent = self._kernel.node.index_of(messages.get_link(link.parent))
        self._node_burst(
            link,
            "a link with this name, or this VXLAN number, is there and not ours: remove it",
            messages.new_vxlan(link.host_name, link.vni, link.local, link.port, link.mac, link.mtu, parent),
            messages.set_link(link.host_name, alias=alias_of(link.name)),
        )

    def _take_over(self, end: TapEnd) -> None:
        """Gives the link our alias; who made it gave it everything else."""
        if end.ipv6:
            ipv6.turn_on(end.netns or self._kernel.netns, end.host_name)
        with self._kernel.open(end.netns) as where:
            where.must(
                messages.set_link(end.host_name, alias=alias_of(end.name, end.netns)),
                *([messages.set_link("lo")] if end.netns else []),
            )
            index = where.index_of(messages.get_link(end.host_name))
        self._kernel.ends.remember(end.name, End(end.netns, end.made_by))
        self._kernel.note(end.name, Place(end.netns, index, end.host_name))

    def _node_burst(self, link: Veth | Vxlan, occupied: str, create: Any, *finish: Any) -> None:
        name = link.host_name
        [created] = self._kernel.node.burst([create])
        if created is not None:  # nothing more may be sent: the name could be that of somebody else's link
            if created.code == errno.EEXIST:
                raise KernelError(created.code, occupied)
            raise created
        for finished in self._kernel.node.burst(finish):
            if finished is not None:
                self._remove(name)
                raise finished
        index = self._kernel.node.index_of(messages.get_link(name))
        self._kernel.note(link.name, Place("", index, name))

    def _remove(self, name: str) -> None:
        with contextlib.suppress(KernelError):
            self._kernel.node.must(messages.delete_link(self._kernel.node.index_of(messages.get_link(name))))

    def _delete(self, link: Link) -> None:
        place = self._kernel.place(link.name)
        self._kernel.note(link.name, None)
        if isinstance(link, TapEnd):  # the link goes with what made it
            self._kernel.ends.forget(link.name)
            return
        self._kernel.note(Veth.peer_link(link.name), None)
        if place is None:
            return
        try:
            self._kernel.node.must(messages.delete_link(place.index))
        except KernelError as error:
            if error.code not in GONE:
                self._kernel.note(link.name, place)
                raise

    def _change(self, previous: Link, link: Link) -> None:
        if isinstance(link, TapEnd) or isinstance(previous, TapEnd):
            return
        if link.mtu != previous.mtu:
            mtu = link.mtu or _ETHERNET_MTU
            self._kernel.node.must(messages.set_link(link.host_name, mtu=mtu))
            if isinstance(link, Veth):
                with self._kernel.open(link.netns) as inside:
                    inside.must(messages.set_link(link.peer_name, mtu=mtu))
        if isinstance(link, Veth) and isinstance(previous, Veth) and link.offload != previous.offload:
            self._set_offload(link)

    def _set_offload(self, link: Veth) -> None:
        node = self._kernel.netns
        for netns, name in ((node, link.host_name), (link.netns or node, link.peer_name)):
            offload.set_checksums(netns, name, on=link.offload)

    def _veth(self, link: Any, name: str, netns: str, look: Look) -> Veth:
        peer_name, peer_mac, up = "", "", bool(link["flags"] & messages.UP)
        host_name, node = link.get_attr("IFLA_IFNAME"), self._kernel.netns
        left_to_receiver, has_ipv6 = True, False
        if (place := look.places.get(Veth.peer_link(name))) is not None:
            for other in look.tables[netns].links:
                if other["index"] == place.index:
                    peer_name, peer_mac = place.name, other.get_attr("IFLA_ADDRESS") or ""
                    up = up and bool(other["flags"] & messages.UP)
            with contextlib.suppress(NamespaceGoneError, OSError):
                ends = ((node, host_name), (netns or node, place.name))
                left_to_receiver = any(offload.checksums(where, end) for where, end in ends)
                has_ipv6 = ipv6.is_on(netns or node, place.name)
        return Veth(
            name=name,
            host_name=host_name if up else "",
            peer_name=peer_name,
            netns=netns,
            mac=link.get_attr("IFLA_ADDRESS") or "",
            peer_mac=peer_mac,
            mtu=_mtu(link, _ETHERNET_MTU),
            offload=left_to_receiver,
            ipv6=has_ipv6,
        )


def _kind(link: Any) -> str:
    info = link.get_attr("IFLA_LINKINFO")
    return (info.get_attr("IFLA_INFO_KIND") or "") if info else ""


def _vxlan(link: Any, name: str) -> Vxlan:
    info = link.get_attr("IFLA_LINKINFO")
    data = info.get_attr("IFLA_INFO_DATA") if info else None
    get = data.get_attr if data else lambda _: None
    return Vxlan(
        name=name,
        host_name=link.get_attr("IFLA_IFNAME") if link["flags"] & messages.UP else "",
        vni=get("IFLA_VXLAN_ID") or 0,
        local=get("IFLA_VXLAN_LOCAL") or get("IFLA_VXLAN_LOCAL6") or "",
        port=get("IFLA_VXLAN_PORT") or 0,
        mac=link.get_attr("IFLA_ADDRESS") or "",
        mtu=_mtu(link, 0),
    )


def _mtu(link: Any, default: int) -> int:
    mtu = int(link.get_attr("IFLA_MTU") or 0)
    return 0 if mtu == default else mtu


def _can_change(previous: Link, link: Link) -> bool:
    """Whether a link can become another value as it is; only MTU (a tunnel's to a known one) and offload can."""
    if isinstance(link, TapEnd) or isinstance(previous, TapEnd):
        return False
    if isinstance(link, Veth) and isinstance(previous, Veth):
        return dataclasses.replace(previous, mtu=link.mtu, offload=link.offload) == link
    if isinstance(link, Vxlan) and isinstance(previous, Vxlan):
        return bool(link.mtu) and dataclasses.replace(previous, mtu=link.mtu) == link
    return False

"""Links of the kernel with their addresses and routes: read, kept, and put back.

A link that goes takes its addresses and routes with it. `Link` holds what is needed to put them back on the link that
comes in its place, under whatever index. The kernel's own (connected routes, link-local addresses, what routers
announce) come back by themselves and are left to it; but NetworkManager has the kernel make no route of an address, and
adds one that only says that the kernel made it.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence

from .system import System

FOR_EVER = 4294967295
FAMILIES = ("4", "6")
NOT_A_NEXT_HOP = ("local", "broadcast", "multicast", "anycast")
OF_THE_KERNEL = ("kernel", "ra", "redirect")


@dataclass(frozen=True)
class Address:
    """An address of a link; lifetimes are seconds that were left when it was read, `FOR_EVER` without an end."""

    local: str
    prefix: int
    scope: str = "global"
    peer: str = ""
    broadcast: str = ""
    label: str = ""
    dynamic: bool = False
    flags: tuple[str, ...] = ()
    valid: int = FOR_EVER
    preferred: int = FOR_EVER

    @property
    def cidr(self) -> str:
        """As it is written, such as 10.0.0.5/24."""
        return "%s/%d" % (self.local, self.prefix)

    @property
    def network(self) -> str:
        """The subnet that it is in, as a route leads there."""
        return str(ipaddress.ip_network(self.cidr, strict=False))

    @property
    def ipv6(self) -> bool:
        """Tells the family."""
        return ":" in self.local

    @property
    def comes_by_itself(self) -> bool:
        """Whether the kernel makes it: link-local ones, and those from a router's announcement."""
        return self.ipv6 and (self.scope == "link" or self.dynamic)


@dataclass(frozen=True)
class NextHop:
    """One way of a route that has several."""

    gateway: str
    device: str
    weight: int = 1
    onlink: bool = False


@dataclass(frozen=True)
class Route:
    """A route; `destination` is "default" or a prefix, `family` 4 or 6, `table` "" the main one."""

    family: str
    destination: str
    device: str = ""
    gateway: str = ""
    source: str = ""
    metric: int = 0
    table: str = ""
    protocol: str = ""
    scope: str = ""
    tos: str = ""
    preference: str = ""
    onlink: bool = False
    limits: tuple[tuple[str, str], ...] = ()
    """Such as ("mtu", "1400")."""
    hops: tuple[NextHop, ...] = ()

    @property
    def is_default(self) -> bool:
        """Whether it is the way to everywhere, in the main table."""
        return self.destination in ("default", "0.0.0.0/0", "::/0") and self.table == ""

    @property
    def devices(self) -> tuple[str, ...]:
        """The links that it goes by."""
        return tuple(hop.device for hop in self.hops) or (self.device,)

    @property
    def comes_by_itself(self) -> bool:
        """Whether the kernel makes it."""
        return self.protocol in OF_THE_KERNEL


@dataclass(frozen=True)
class Link:
    """A link of the kernel.

    Attributes:
        state: as the kernel says it, such as UP, DOWN, LOWERLAYERDOWN.
        up: whether it is switched on.
        carrier: whether there is something at the other end.
        master: the bridge or bond that it is part of.
        below: the link that it stands on, for a VLAN say.
    """

    name: str
    index: int
    mac: str
    mtu: int
    state: str
    up: bool
    carrier: bool
    master: str = ""
    below: str = ""
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()

    def comes_by_itself(self, route: Route) -> bool:
        """Whether the kernel makes a route of this link again; not where it was told to make none for the address."""
        if route.protocol != "kernel":
            return route.comes_by_itself
        return not any(
            "noprefixroute" in one.flags and not one.comes_by_itself and one.network == route.destination
            for one in self.addresses
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Link:
        """From what `as_dict` gave, also after JSON."""
        routes = [
            Route(
                **{
                    **route,
                    "limits": tuple((name, value) for name, value in route["limits"]),
                    "hops": tuple(NextHop(**hop) for hop in route["hops"]),
                }
            )
            for route in values["routes"]
        ]
        addresses = [Address(**{**address, "flags": tuple(address["flags"])}) for address in values["addresses"]]
        return cls(**{**values, "addresses": tuple(addresses), "routes": tuple(routes)})


def canonical(address: str) -> str:
    """An address as the kernel writes it, for IPv6 has several ways; what is none stays as it is."""
    try:
        return str(ipaddress.ip_address(address.strip()))
    except ValueError:
        return address


def read(system: System) -> dict[str, Link]:
    """All links by name, each with its addresses and the routes that go by it, of all tables.

    Raises:
        HostError: iproute2 fails or is missing.
    """
    routes = [route for family in FAMILIES for route in _routes(system, family)]
    found = {}
    for entry in system.asked("address"):
        if "ifname" not in entry:  # iproute2 leaves an empty object for what is filtered out
            continue
        flags, name = entry.get("flags", []), str(entry["ifname"])
        found[name] = Link(
            name=name,
            index=int(entry.get("ifindex", 0)),
            mac=str(entry.get("address", "")),
            mtu=int(entry.get("mtu", 0)),
            state=str(entry.get("operstate", "UNKNOWN")),
            up="UP" in flags,
            carrier="LOWER_UP" in flags,
            master=str(entry.get("master", "")),
            below=str(entry.get("link", "")),
            addresses=tuple(_address(one) for one in entry.get("addr_info", []) if "local" in one),
            routes=tuple(route for route in routes if name in route.devices),
        )
    return found


def missing(before: Link, now: Link) -> tuple[list[Address], list[Route]]:
    """What was on a link and is not on the one that took its place, without what comes by itself."""
    there = {(address.local, address.prefix) for address in now.addresses}
    ways = {_identity(route, now.name) for route in now.routes}
    return (
        [one for one in before.addresses if not one.comes_by_itself and (one.local, one.prefix) not in there],
        [
            one
            for one in _in_order(before.routes)
            if not before.comes_by_itself(one) and _identity(one, now.name) not in ways
        ],
    )


def restoring(before: Link, now: Link) -> list[list[str]]:
    """The commands that make a link what one before it was: MTU, whether it is up, addresses, then routes."""
    commands = []
    if before.mtu and before.mtu != now.mtu:
        commands.append(["ip", "link", "set", "dev", now.name, "mtu", str(before.mtu)])
    if before.up and not now.up:
        commands.append(["ip", "link", "set", "dev", now.name, "up"])
    addresses, routes = missing(before, now)
    commands += [adding_address(address, now.name) for address in addresses]
    return commands + [adding_route(route, before.name, now.name) for route in routes]


def restore(system: System, before: Link, name: str) -> list[str]:
    """Makes the link `name` what another one was before it; goes on past what fails.

    Returns:
        A sentence for each thing that could not be put back.

    Raises:
        HostError: iproute2 cannot be asked at all.
    """
    problems = []
    there = read(system).get(name)
    if there is None:
        return ["there is no link %s to put the addresses and routes of %s on" % (name, before.name)]
    for words in restoring(before, there):
        done = system.run(*words)
        if done.code != 0 and "File exists" not in done.error:
            problems.append("%s failed: %s" % (" ".join(words), done.error.strip()))
    now = read(system).get(name, there)
    addresses, routes = missing(before, now)
    if not problems:
        problems += ["%s has not got its address %s back" % (name, address.cidr) for address in addresses]
        problems += ["%s has not got its route to %s back" % (name, route.destination) for route in routes]
    return problems


def adding_address(address: Address, device: str) -> list[str]:
    """The command that gives a link an address."""
    words = ["ip", "address", "add"]
    words += [address.local, "peer", "%s/%d" % (address.peer, address.prefix)] if address.peer else [address.cidr]
    words += ["dev", device]
    if address.broadcast:
        words += ["broadcast", address.broadcast]
    if address.scope != "global":
        words += ["scope", address.scope]
    if ":" in address.label:  # eth0:1; a plain one is the link's name, which may have changed
        words += ["label", device + address.label[address.label.index(":") :]]
    words += [flag for flag in address.flags if flag in ("nodad", "noprefixroute", "home")]
    if address.valid != FOR_EVER:
        words += ["valid_lft", str(address.valid), "preferred_lft", str(address.preferred)]
    return words


def adding_route(route: Route, before: str, device: str) -> list[str]:
    """The command that adds a route, with the link `device` where it went by `before`."""
    words = ["ip", "-" + route.family, "route", "add", route.destination]
    if route.tos:
        words += ["tos", route.tos]
    if route.table:
        words += ["table", route.table]
    if route.protocol:
        words += ["proto", route.protocol]
    if route.scope:
        words += ["scope", route.scope]
    if route.source:
        words += ["src", route.source]
    if route.metric:
        words += ["metric", str(route.metric)]
    for name, value in route.limits:
        words += [name, value]
    if route.preference not in ("", "medium"):
        words += ["pref", route.preference]
    if not route.hops:
        return words + _way(route.gateway, route.device, route.onlink, before, device, route.family)
    for hop in route.hops:
        words += ["nexthop", *_way(hop.gateway, hop.device, hop.onlink, before, device, route.family)]
        words += ["weight", str(hop.weight)]
    return words


def _way(gateway: str, there: str, onlink: bool, before: str, device: str, family: str) -> list[str]:
    words = []
    if gateway:
        words += ["via", "inet6", gateway] if family == "4" and ":" in gateway else ["via", gateway]
    words += ["dev", device if there == before else there]
    return words + (["onlink"] if onlink else [])


def _in_order(routes: Iterable[Route]) -> list[Route]:
    """First those that need no other route to reach their gateway."""
    return sorted(routes, key=lambda route: (bool(route.gateway or route.hops), route.is_default))


def _identity(route: Route, device: str) -> tuple[Any, ...]:
    gateways = tuple(hop.gateway for hop in route.hops) or (route.gateway,)
    return route.family, route.destination, gateways, route.metric, route.table, route.tos


def _address(entry: Mapping[str, Any]) -> Address:
    dynamic = bool(entry.get("dynamic", False))
    return Address(
        local=str(entry["local"]),
        prefix=int(entry["prefixlen"]),
        scope=str(entry.get("scope", "global")),
        peer=str(entry.get("address", "")),
        broadcast=str(entry.get("broadcast", "")),
        label=str(entry.get("label", "")),
        dynamic=dynamic,
        flags=tuple(flag for flag in ("nodad", "noprefixroute", "home", "mngtmpaddr", "temporary") if entry.get(flag)),
        valid=int(entry.get("valid_life_time", FOR_EVER)),
        preferred=int(entry.get("preferred_life_time", FOR_EVER)),
    )


def _routes(system: System, family: str) -> list[Route]:
    return [
        _route(family, entry)
        for entry in system.asked("-" + family, "route", "show", "table", "all")
        if "dst" in entry and entry.get("type", "unicast") not in NOT_A_NEXT_HOP
    ]


def _route(family: str, entry: Mapping[str, Any]) -> Route:
    limits = [
        (str(name), str(value))
        for metrics in entry.get("metrics", [])
        for name, value in sorted(metrics.items())
        if name in ("mtu", "advmss", "initcwnd", "initrwnd", "window")
    ]
    return Route(
        family=family,
        destination=str(entry["dst"]),
        device=str(entry.get("dev", "")),
        gateway=_gateway(entry),
        source=str(entry.get("prefsrc", "")),
        metric=int(entry.get("metric", 0)),
        table=str(entry.get("table", "")),
        protocol=str(entry.get("protocol", "")),
        scope=str(entry.get("scope", "")),
        tos=str(entry.get("tos", "")),
        preference=str(entry.get("pref", "")),
        onlink="onlink" in entry.get("flags", []),
        limits=tuple(limits),
        hops=tuple(
            NextHop(_gateway(hop), str(hop.get("dev", "")), int(hop.get("weight", 1)), "onlink" in hop.get("flags", []))
            for hop in _sequence(entry.get("nexthops"))
        ),
    )


def _gateway(entry: Mapping[str, Any]) -> str:
    return str(entry.get("gateway") or entry.get("via", {}).get("host", ""))


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []

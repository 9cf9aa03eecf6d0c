"""What the kernel can be asked for, as values.

`link` is the logical name of a link: that of a `Veth` or `Vxlan`, `Veth.peer_link(name)` for the end in the pod,
or "lo" for the node's loopback. Addresses and subnets are text; "" and 0 mean the kernel's default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

LOOPBACK = "lo"
MAIN_TABLE = 254
_POD_END = "@pod"
_ENDS = "linux/link-end/"
_NAMES = "linux/link-name/"


def is_pod_end(link: str) -> bool:
    """Whether a link is the end of a pair that is in a pod."""
    return link.endswith(_POD_END)


def link_key(link: str) -> str:
    """The key that must be available before anything can be on `link`; "" when nothing is needed."""
    if link == LOOPBACK:
        return ""
    return (_ENDS if is_pod_end(link) else Veth.prefix) + link


@dataclass(frozen=True, slots=True)
class Veth:
    """A pair of links: `host_name` on the node, `peer_name` in the namespace at the path `netns` ("": on the node too).

    Attributes:
        mac: of the node's end; peer_mac of the other one.
        mtu: of both, in bytes.
        offload: whether both ends leave checksums to whoever receives; what reads frames with AF_PACKET gets wrong
            ones then. Without it the node's end has no IPv6 address of its own either: it would announce it to VPP.
        ipv6: whether the end in the other namespace has IPv6 (some runtimes turn it off there) and believes no router
            that announces itself.
    """

    prefix: ClassVar[str] = "linux/link/"

    name: str
    host_name: str
    peer_name: str
    netns: str
    mac: str
    peer_mac: str
    mtu: int = 0
    offload: bool = True
    ipv6: bool = False

    @property
    def key(self) -> str:
        """By logical name."""
        return self.prefix + self.name

    @staticmethod
    def peer_link(name: str) -> str:
        """The logical name of the end in the pod, or of the second one on the node."""
        return name + _POD_END


@dataclass(frozen=True, slots=True)
class Vxlan:
    """The near end of all tunnels; it learns nothing and floods nothing.

    Attributes:
        local: the address that packets leave from.
        parent: the kernel's name of the link they leave by; "" leaves that to the routes.
    """

    prefix: ClassVar[str] = "linux/link/"

    name: str
    host_name: str
    vni: int
    local: str
    port: int
    mac: str
    mtu: int = 0
    parent: str = ""

    @property
    def key(self) -> str:
        """By logical name."""
        return self.prefix + self.name


@dataclass(frozen=True, slots=True)
class TapEnd:
    """The kernel's end of a link that another data plane makes, with its name and MAC; it is taken over as it is.

    Attributes:
        name: the logical name; `Veth.peer_link` of something when it is in a pod.
        netns: path of the namespace that it is in, "" for the node's.
        made_by: the key of the value that makes the link.
        ipv6: as for `Veth`.
    """

    prefix: ClassVar[str] = "linux/link/"

    name: str
    host_name: str
    netns: str
    made_by: str
    ipv6: bool = False

    @property
    def key(self) -> str:
        """By logical name."""
        return self.prefix + self.name


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """That the end of a link in a pod is there; comes and goes with the link."""

    name: str

    @property
    def key(self) -> str:
        """By logical name."""
        return _ENDS + self.name


@dataclass(frozen=True, slots=True)
class LinkName:
    """That the node has a link with this kernel name, whoever made it."""

    prefix: ClassVar[str] = _NAMES

    name: str

    @property
    def key(self) -> str:
        """By kernel name."""
        return link_name_key(self.name)


def link_name_key(name: str) -> str:
    """The key that is available while the node has a link with this kernel name."""
    return _NAMES + name


@dataclass(frozen=True, slots=True)
class Address:
    """`address` with prefix length on `link`."""

    prefix: ClassVar[str] = "linux/address/"

    link: str
    address: str

    @property
    def key(self) -> str:
        """By link and address: an address has nothing to update."""
        return f"{self.prefix}{self.link}/{self.address}"


@dataclass(frozen=True, slots=True)
class Route:
    """A route in a table of the node, or of the pod when `link` is in one.

    Attributes:
        to: a subnet; "0.0.0.0/0" is the default route.
        via: the gateway, taken to be on the link whatever the addresses say.
        link: "" leaves it to the kernel by which of the host's own links it reaches the gateway.
        scope: "link" for what is reached directly, else "".
        source: the address that the node's own packets get.
        mtu: how large packets may be that take it, in bytes; 0 is the link's own.
        after_source: whether it waits for `source`, which the agent puts on `link`; the kernel keeps nothing of that.
    """

    prefix: ClassVar[str] = "linux/route/"

    to: str
    via: str = ""
    link: str = ""
    table: int = MAIN_TABLE
    scope: Literal["", "link"] = ""
    source: str = ""
    kind: Literal["unicast", "blackhole", "unreachable"] = "unicast"
    metric: int = 0
    mtu: int = 0
    after_source: bool = field(default=False, compare=False)

    @property
    def key(self) -> str:
        """By what tells routes apart in the kernel; a route that takes another link is an update."""
        where = self.link if is_pod_end(self.link) else "node"
        return f"{self.prefix}{where}/{self.table}/{self.to}/{self.metric}"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The MAC of an address on a link, for good."""

    prefix: ClassVar[str] = "linux/neighbour/"

    link: str
    address: str
    mac: str

    @property
    def key(self) -> str:
        """By link and address."""
        return f"{self.prefix}{self.link}/{self.address}"


@dataclass(frozen=True, slots=True)
class ForwardingEntry:
    """The far end of the tunnel behind which a MAC is."""

    prefix: ClassVar[str] = "linux/fdb/"

    link: str
    mac: str
    destination: str

    @property
    def key(self) -> str:
        """By link and MAC."""
        return f"{self.prefix}{self.link}/{self.mac}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Which packets ask which table; `source` and `destination` are subnets, "" for all."""

    prefix: ClassVar[str] = "linux/rule/"

    priority: int
    source: str = ""
    destination: str = ""
    table: int = MAIN_TABLE

    @property
    def key(self) -> str:
        """By everything but the table."""
        return f"{self.prefix}{self.priority}/{self.source or 'all'}/{self.destination or 'all'}"


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A setting of the node's network namespace, such as net.ipv4.ip_forward."""

    prefix: ClassVar[str] = "linux/sysctl/"

    name: str
    value: str

    @property
    def key(self) -> str:
        """By name."""
        return self.prefix + self.name


TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    Veth.prefix: (Veth, Vxlan),
    Address.prefix: (Address,),
    Route.prefix: (Route,),
    Neighbour.prefix: (Neighbour,),
    ForwardingEntry.prefix: (ForwardingEntry,),
    Rule.prefix: (Rule,),
    Sysctl.prefix: (Sysctl,),
}
"""What can be asked for, by the prefix of the keys."""

"""What a data plane cannot do, with the reason: the one place where that is declared; docs/vpp-services.md has more.

A world has these in its `lacks`; a case that needs one of them is skipped with the reason, or expects what is documented
instead. A data plane that is not here does everything.
"""

from __future__ import annotations

from collections.abc import Mapping

LIMITS: Mapping[str, Mapping[str, str]] = {
    "vpp": {
        "two-destinations": "a translation has one set of backends: with externalTrafficPolicy Local these are the "
        "node's own for its pods and host as well, and all where it has none",
        "source-ranges": "nothing filters before cnat: load balancers' addresses with source ranges get no answer",
        "affinity-timeout": "the flow hash binds a client to its endpoint for as long as the endpoints are the same",
        "port-clash": "of two connections from one port of a client through two frontends to one endpoint the first is cut",
        "sctp-ipv6": "cnat does not translate SCTP over IPv6",
        "removed-endpoint": "cnat ends the sessions of an endpoint that is listed no more: its established connections "
        "are cut",
        "sctp-ports": "VPP's access lists see no ports of SCTP: docs/vpp-policies.md",
        "sctp-refusal": "an ICMP error about SCTP is not translated back, and the kernel here has no SCTP of its own",
        "transit": "what comes in by a NIC for a pod of another node gets the node's address, translated or not: who "
        "routes to pods must know each node's part of their subnet",
        "masqueraded-fragments": "cnat knows no ports of later fragments: they do not leave the cluster under another "
        "address",
        "sctp-spread": "all associations of a client go to one endpoint, and none gets another source: a pod does not "
        "reach itself, nor the outside an endpoint on another node than it came to",
    },
    "linux": {},
}
WITHOUT_OVERLAY: Mapping[str, Mapping[str, str]] = {
    "vpp": {
        "to-host": "the host is a pod to cnat, or it would hide from other nodes' pods: its answers to the outside take "
        "its own way out, and so does its refusal where there is no endpoint; nor does it reach itself",
    },
    "linux": {},
}
"""What it cannot do besides when no tunnels join the nodes."""

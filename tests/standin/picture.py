"""What a stand-in holds, without the numbers that differ from life to life: two pictures can be compared."""

from __future__ import annotations

from typing import Any

from tests.standin.state import NOWHERE, Interface, State


def picture(state: State) -> dict[str, Any]:
    """Everything, with interfaces by their tags; one without a tag by its kind and what its kind knows."""
    names = {one.number: _name(one) for one in state.interfaces.values()} | {NOWHERE: "-", None: "-"}
    domains = state.things("domain")
    numbers = {domain.index: number for number, domain in domains.items()}
    return {
        "interfaces": sorted(
            (
                names[one.number],
                one.kind,
                "" if one.kind == "tunnel" else one.mac,
                one.flags,
                tuple(one.mtu),
                tuple(one.tables.items()),
                tuple(sorted(map(str, one.addresses))),
                names.get(one.lender, "gone"),
                (one.domain, one.routed, one.group),
                str(one.about) if one.kind != "loopback" else "",
            )
            for one in state.interfaces.values()
        ),
        "tables": sorted((one.version, one.number, one.name, one.asked_for) for one in state.tables.values()),
        "routes": {
            (version, table, str(prefix)): sorted(
                (path.kind, "gone" if path.lost else names[path.interface], path.hop, path.table, path.weight)
                for path in paths
            )
            for (version, table, prefix), paths in state.things("route").items()
        },
        "neighbours": {
            (names.get(number, "gone"), str(address)): (int(flags), str(mac))
            for (number, address), (flags, mac) in state.things("neighbour").items()
        },
        "domains": {number: (one.tag, one.flood, one.learn) for number, one in domains.items()},
        "entries": {
            (numbers.get(index, "gone"), mac): (names.get(member, "gone"), static)
            for (index, mac), (member, static) in state.things("fdb").items()
        },
    }


def _name(one: Interface) -> str:
    return one.tag or f"no tag: {one.name}"

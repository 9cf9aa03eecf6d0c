"""Translation of addresses (cnat): translations, the interfaces that translate, and sources."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from tests.standin.families.interfaces import interface
from tests.standin.handlers import Refused, forgets, handles
from tests.standin.state import State

_KINDS = ("Included v4", "Included v6", "k8s pod", "k8s host")
_WHOLE = (("ip4-unicast", "cnat-input-ip4"), ("ip4-unicast", "cnat-lookup-ip4"))
"""What is asked about of all the features that an interface gets at once when it translates."""


def _place(translation: Any) -> tuple[int, str, int]:
    return int(translation.ip_proto), str(translation.vip.addr), translation.vip.port


@handles("cnat_translation_update")
def put_translation(state: State, request: Any) -> dict[str, Any]:
    """The way to balance is taken from the first one only, as VPP does; without backends VPP would die."""
    new = request.translation
    assert new.paths, "VPP dies of a translation without backends"
    known = state.things("translation")
    number, before = known.get(_place(new), (state.next_number(), new))
    known[_place(new)] = (number, new._replace(id=number, lb_type=before.lb_type))
    return {"id": number}


@handles("cnat_translation_del")
def remove_translation(state: State, request: Any) -> None:
    for place, (number, _) in state.things("translation").items():
        if number == request.id:
            del state.things("translation")[place]
            return
    raise Refused("NO_SUCH_ENTRY")


@handles("cnat_translation_dump")
def list_translations(state: State, request: Any) -> Iterable[dict[str, Any]]:
    return [{"translation": one} for _, one in state.things("translation").values()]


@handles("feature_cnat_enable_disable")
def set_translating(state: State, request: Any) -> None:
    for arc, feature in _WHOLE:
        _set_feature(state, (request.sw_if_index, arc, feature), on=request.enable_disable)


@handles("feature_enable_disable")
def set_feature(state: State, request: Any) -> None:
    interface(state, request.sw_if_index)
    _set_feature(state, (request.sw_if_index, request.arc_name, request.feature_name), on=request.enable)


def _set_feature(state: State, place: tuple[int, str, str], *, on: bool) -> None:
    if on:
        state.things("feature")[place] = True
    else:
        state.things("feature").pop(place, None)


@handles("feature_is_enabled")
def has_feature(state: State, request: Any) -> dict[str, Any]:
    place = (request.sw_if_index, request.arc_name, request.feature_name)
    return {"is_enabled": place in state.things("feature")}


@forgets
def forget(state: State, number: int) -> None:
    for kind in ("feature", "source-role"):
        for place in [place for place in state.things(kind) if place[0] == number]:
            del state.things(kind)[place]


# ---- sources


@handles("cnat_set_snat_addresses_v2")
def set_sources(state: State, request: Any) -> None:
    state.things("source")["addresses"] = (request.snat_ip4, request.snat_ip6)


@handles("cnat_set_snat_policy")
def set_policy(state: State, request: Any) -> None:
    state.things("source")["policy"] = int(request.policy)


@handles("cnat_snat_addresses_dump")
def list_sources(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for ipv4, ipv6 in [one for name, one in state.things("source").items() if name == "addresses"]:
        yield {"snat_ip4": ipv4, "snat_ip6": ipv6, "sw_if_index": 0xFFFFFFFF}


@handles("cnat_snat_policy_add_del_exclude_pfx")
def set_spared(state: State, request: Any) -> None:
    if "addresses" not in state.things("source"):
        raise Refused("FEATURE_DISABLED")
    subnet = str(ipaddress.ip_network(request.prefix))
    if request.is_add:
        state.things("spared")[subnet] = True
    else:
        state.things("spared").pop(subnet, None)


@handles("cnat_snat_policy_add_del_if")
def set_role(state: State, request: Any) -> None:
    if "addresses" not in state.things("source"):
        raise Refused("FEATURE_DISABLED")
    place = (interface(state, request.sw_if_index).number, int(request.table))
    if request.is_add:
        state.things("source-role")[place] = True
    else:
        state.things("source-role").pop(place, None)


@handles("cli_inband")
def say(state: State, request: Any) -> dict[str, Any]:
    """The one command that is asked for: what VPP tells people of its policy."""
    if request.cmd != "show cnat snat-policy":
        return {"reply": ""}
    lines = ["Source NAT", "Excluded prefixes:", *(f"    0: {one} dst" for one in state.things("spared"))]
    for number, kind in enumerate(_KINDS):
        lines.append(f"{kind} interfaces:")
        lines += [f"  {state.interfaces[one].name}" for one, role in state.things("source-role") if role == number]
    return {"reply": "\n".join(lines) + "\n"}

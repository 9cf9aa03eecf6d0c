"""External configuration: what is refused, how it merges, and that history does not matter."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contivpp.agent.changes import Change, ExternalChange, RecordChange, WorldChange
from contivpp.agent.desired import Desired
from contivpp.agent.events import ExternalConfigChanged
from contivpp.agent.external.config import ExternalConfig, check_source
from contivpp.agent.external.merge import merge
from contivpp.agent.external.values import Catalogue, Item, ItemError, decode
from contivpp.agent.view import OwnNode, View
from contivpp.dataplane.linux.checks import checked
from contivpp.dataplane.linux.values import TYPES, Route, Sysctl, Vxlan
from contivpp.model.config import ContivConfig

KERNEL = Catalogue(TYPES, checked)
ROUTE = "linux/route/node/254/10.9.0.0/16/0"
CONFIG = ContivConfig.parse("", node_name="node1")


@dataclass(frozen=True)
class Place:
    room: str
    floor: int = 0


@dataclass(frozen=True)
class Thing:
    """A value with every kind of field."""

    name: str
    size: int = 1
    tags: tuple[str, ...] = ()
    pair: tuple[int, int] = (0, 0)
    home: Place | None = None
    places: tuple[Place, ...] = ()

    @property
    def key(self) -> str:
        return f"thing/{self.name}"


def limited(thing: Thing) -> Thing:
    if thing.size > 9:
        message = f"field size: {thing.size} is more than 9: write less"
        raise ValueError(message)
    return thing


THINGS = Catalogue({"thing/": (Thing,)}, limited)


def item(fields: Any, *, key: str = "thing/a", source: str = "db", catalogue: Catalogue = THINGS) -> Item:
    return decode(catalogue, source, key, json.dumps(fields).encode(), where=f"/etcd/{key}")


def refused(fields: Any, key: str, catalogue: Catalogue = KERNEL) -> str:
    with pytest.raises(ItemError) as caught:
        item(fields, key=key, catalogue=catalogue)
    sentence = str(caught.value)
    assert sentence.startswith(f"/etcd/{key}: ")
    return sentence


# ---- what is refused


@pytest.mark.parametrize(
    ("key", "fields", "problem"),
    [
        ("linux/cake/x", {}, "the data plane has no values under this key; it has linux/address/"),
        ("linux/link-end/x", {"name": "x"}, "no values under this key"),
        (ROUTE, [1], "is not a JSON object: write one with the fields to, via, link"),
        (ROUTE, {"to": "10.9.0.0/16", "knid": "blackhole"}, "field knid is unknown; did you mean kind?"),
        (ROUTE, {"to": "10.9.0.0/16", "x": 1}, "field x is unknown; there are to, via"),
        (
            ROUTE,
            {"to": "10.9.0.0/16", "table": "main"},
            "field table has the wrong type (Expected int, got str): correct it",
        ),
        (ROUTE, {"to": "10.9.0.0/16", "table": True}, "field table has the wrong type"),
        (ROUTE, {"to": "10.9.0.0/16", "kind": "prohibit"}, "field kind has the wrong type"),
        (ROUTE, {"to": "10.9.0.1/16", "kind": "blackhole"}, "write 10.9.0.0/16"),
        (ROUTE, {"to": "10.9.0.0/16"}, "field link is missing"),
        (
            ROUTE,
            {"to": "10.8.0.0/16", "kind": "blackhole"},
            "its fields make the key linux/route/node/254/10.8.0.0/16/0: write it there, or correct the fields",
        ),
        ("linux/link/x", {"name": "x", "vny": 7}, "field vny is unknown; did you mean vni?"),
    ],
)
def test_an_item_that_cannot_become_a_value_is_refused_with_place_field_and_remedy(
    key: str, fields: Any, problem: str
) -> None:
    assert problem in refused(fields, key)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"tags": "x"}, "field tags has the wrong type"),
        ({"tags": [1]}, "field tags has the wrong type"),
        ({"pair": [1]}, "field pair has the wrong type"),
        ({"home": {"rom": "1"}}, "field home.rom is unknown; did you mean room?"),
        ({"places": [{"room": "1"}, {"floor": 2}]}, "field places[1].room is missing"),
        ({"name": "a", "size": 10}, "field size: 10 is more than 9"),
    ],
)
def test_a_problem_inside_a_field_names_the_way_to_it(fields: Any, problem: str) -> None:
    assert problem in refused(fields, "thing/a", THINGS)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b'{"to": "\xff"}', b"[" * 100_000], ids=["empty", "open", "no text", "inside", "deep"]
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(ItemError, match="is not JSON"):
        decode(KERNEL, "db", ROUTE, raw, where="/x")


@given(
    st.sampled_from(list(TYPES)).flatmap(lambda prefix: st.text(max_size=10).map(lambda rest: prefix + rest)),
    st.dictionaries(
        st.sampled_from(["to", "via", "link", "name", "address", "mac", "value", "priority", "vni", "mtu", "netns"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
            max_leaves=3,
        ),
    ),
)
def test_any_json_is_taken_or_refused_and_nothing_else_happens(key: str, fields: Any) -> None:
    try:
        taken = item(fields, key=key, catalogue=KERNEL)
    except ItemError as error:
        assert str(error).startswith("/etcd/")
    else:
        value = merge(KERNEL, key, None, [taken]).value
        assert value is None or value.key == key


@pytest.mark.parametrize("name", ["", "db", "A", "-x", "a/b", "a" * 64])
def test_a_source_has_a_plain_name_and_is_not_etcd(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        check_source(name)
    check_source("bgp-speaker.1")


# ---- merging


def merged(base: Thing | None, *fields: Any) -> Any:
    result = merge(THINGS, "thing/a", base, [item(one, source=f"s{n}") for n, one in enumerate(fields)])
    assert not result.problems
    return result.value


def test_scalars_replace_tuples_append_without_duplicates_and_objects_merge() -> None:
    base = Thing("a", 2, ("x", "y"), (1, 2), Place("r1", 3), (Place("p"),))
    fields = {"size": 5, "tags": ["y", "z", "z"], "pair": [7, 8], "home": {"floor": 9}, "places": [{"room": "q"}]}
    assert merged(base, fields) == Thing("a", 5, ("x", "y", "z"), (7, 8), Place("r1", 9), (Place("p"), Place("q")))
    assert merged(merged(base, fields), fields) == merged(base, fields)
    assert merged(base, {"home": None}) == Thing("a", 2, ("x", "y"), (1, 2), None, (Place("p"),))


def test_without_a_value_of_the_agents_an_item_stands_alone() -> None:
    assert merged(None, {"name": "a", "home": {"room": "r"}}) == Thing("a", home=Place("r"))


def test_sources_count_in_the_order_of_their_names() -> None:
    base = Thing("a", 1)
    one, two = item({"size": 2, "tags": ["1"]}, source="one"), item({"size": 3, "tags": ["2"]}, source="two")
    assert merge(THINGS, "thing/a", base, [two, one]).value == Thing("a", 3, ("1", "2"))
    assert merge(THINGS, "thing/a", base, [one, two]).value == Thing("a", 3, ("1", "2"))
    assert merged(None, {"size": 4}, {"name": "a"}, {"tags": ["t"]}) == Thing("a", 4, ("t",))


def test_part_of_a_value_waits_until_there_is_something_to_be_part_of() -> None:
    part = item({"size": 4, "home": {"floor": 1}})
    alone = merge(THINGS, "thing/a", None, [part])
    assert alone.value is None
    assert alone.problems == {"db": "field name is missing, and the agent has no value here to take it from: add it"}
    over = merge(THINGS, "thing/a", Thing("a"), [part])
    assert over.value == Thing("a")
    assert over.problems == {"db": "field room is missing"}
    assert merge(THINGS, "thing/a", Thing("a", home=Place("r")), [part]).value == Thing("a", 4, home=Place("r", 1))


def test_an_item_that_does_not_fit_leaves_the_value_as_it_is_without_it() -> None:
    other = [
        item({"size": 20}, source="a"),
        item({"tags": ["t"]}, source="b"),
        item({"home": {"floor": 1}}, source="c"),
    ]
    result = merge(THINGS, "thing/a", Thing("a", 3), other)
    assert result.value == Thing("a", 3, ("t",))
    assert set(result.problems) == {"a", "c"}
    moved = merge(
        KERNEL, ROUTE, Route("10.9.0.0/16", link="x", scope="link"), [item({"metric": 7}, key=ROUTE, catalogue=KERNEL)]
    )
    assert moved.value == Route("10.9.0.0/16", link="x", scope="link")
    assert "10.9.0.0/16/7" in moved.problems["db"]


def test_of_types_that_share_a_prefix_the_one_counts_that_the_agent_has() -> None:
    tunnel = Vxlan("t", "t", 7, "10.0.0.1", 4789, "02:00:00:00:00:01", 1450)
    mtu = item({"mtu": 1400}, key="linux/link/t", catalogue=KERNEL)
    assert len(mtu.partials) == 2
    assert merge(KERNEL, tunnel.key, tunnel, [mtu]).value.mtu == 1400
    pair = item({"peer_name": "x"}, key="linux/link/t", catalogue=KERNEL)
    wrong = merge(KERNEL, tunnel.key, tunnel, [pair])
    assert wrong.value == tunnel
    assert wrong.problems == {"db": "the agent's own value here is a Vxlan, and this item is not"}


# ---- the sources


class Kept:
    """The local file, in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    def load(self) -> Mapping[str, bytes]:
        return dict(self.rows)

    def update(self, changes: Mapping[str, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


def route(**fields: Any) -> bytes:
    return json.dumps({"to": "10.9.0.0/16", "kind": "blackhole", **fields}).encode()


def test_the_last_good_item_stays_when_a_bad_one_comes_also_after_a_restart() -> None:
    kept = Kept()
    config = ExternalConfig(KERNEL, kept, node_name="node1")
    good = ExternalConfigChanged("db", {ROUTE: route()})
    assert config.take(good) == [ExternalChange((ROUTE,))]
    assert config.take(good) == []
    assert config.take(ExternalConfigChanged("db", {ROUTE: b"{}{"})) == []
    assert config.refusal("db", ROUTE).startswith(f"/vnf-agent/node1/config/{ROUTE}: is not JSON")
    again = ExternalConfig(KERNEL, kept, node_name="node1")
    again.take(ExternalConfigChanged("db", {ROUTE: b"{}{"}, whole=True))
    for one in (config, again):
        assert one.merged(ROUTE, None).value == Route("10.9.0.0/16", kind="blackhole")
        assert one.sources() == ["db"]
    assert again.take(ExternalConfigChanged("db", {ROUTE: route()})) == []
    assert again.refusal("db", ROUTE) == ""


def test_a_whole_configuration_withdraws_what_is_not_in_it_and_nothing_of_others() -> None:
    config = ExternalConfig(KERNEL, Kept())
    other = "linux/sysctl/net.ipv4.ip_forward"
    config.take(ExternalConfigChanged("one", {ROUTE: route(), other: b'{"name": "net.ipv4.ip_forward", "value": "1"}'}))
    config.take(ExternalConfigChanged("two", {ROUTE: route(kind="unreachable")}))
    assert config.merged(ROUTE, None).value.kind == "unreachable"
    assert config.take(ExternalConfigChanged("one", {}, whole=True)) == [ExternalChange((ROUTE, other))]
    assert set(config) == {ROUTE}
    assert config.sources() == ["two"]
    assert config.departed == {other}
    config.take(ExternalConfigChanged("two", {ROUTE: None, "linux/route/unknown": None}))
    assert config.merged(ROUTE, None).value is None
    assert config.sources() == []


def test_what_is_kept_and_not_understood_any_more_is_refused_and_comes_back() -> None:
    kept = Kept()
    ExternalConfig(KERNEL, kept).take(ExternalConfigChanged("one", {ROUTE: route()}))
    without = ExternalConfig(Catalogue({}, checked), kept)
    assert "the data plane has no values under this key; it has nothing" in without.refusal("one", ROUTE)
    assert ROUTE not in without
    assert ROUTE in ExternalConfig(KERNEL, kept)
    assert without.take(ExternalConfigChanged("one", {}, whole=True)) == []
    assert ROUTE not in ExternalConfig(KERNEL, kept)


# ---- history does not matter


class Shelf:
    """A feature whose units are records of kind "thing"."""

    name = "shelf"

    def units(self, view: View) -> Iterable[str]:
        return [thing.name for thing in view.records("thing")]

    def affected(self, change: Change, view: View) -> Iterable[str]:
        match change:
            case RecordChange(kind="thing", id=name):
                yield name
            case WorldChange():
                yield from self.units(view)

    def render(self, unit: str, view: View) -> Mapping[str, Any]:
        thing = view.record("thing", unit)
        return {} if thing is None else {thing.key: thing}


names = st.sampled_from("ab")
things = st.builds(
    Thing, names, st.integers(1, 3), st.lists(st.sampled_from("xyz"), unique=True, max_size=2).map(tuple)
)
json_things = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "size": st.integers(1, 11),
        "tags": st.lists(st.sampled_from("xyz"), max_size=2),
        "home": st.fixed_dictionaries({}, optional={"room": st.sampled_from("rs"), "floor": st.integers(0, 2)}),
        "what": st.just(1),
    },
)
steps = st.one_of(
    st.tuples(st.just("internal"), names, st.none() | things),
    st.tuples(
        st.sampled_from(["db", "one", "two"]),
        st.dictionaries(names.map("thing/{}".format), st.none() | json_things, max_size=2),
        st.booleans(),
    ),
    st.tuples(st.just("world"), st.none(), st.none()),
    st.tuples(st.just("restart"), st.none(), st.none()),
)


@given(st.lists(steps, max_size=14))
def test_any_history_of_internal_and_external_changes_ends_where_a_fresh_merge_would(
    history: list[tuple[str, Any, Any]],
) -> None:
    view, kept = View(CONFIG, CONFIG.plan, OwnNode("node1")), Kept()
    lived = Desired([Shelf()], ExternalConfig(THINGS, kept))
    applied: dict[str, Any] = {}
    for step in history:
        changes: list[Change] = []
        match step:
            case ("internal", name, thing):
                named = None if thing is None else Thing(name, thing.size, thing.tags)
                changes += view.put_record("thing", name, named)
            case ("world", _, _):
                changes.append(WorldChange())
            case ("restart", _, _):
                lived = Desired([Shelf()], ExternalConfig(THINGS, kept))
                lived.resync(view)
                assert lived.values() == applied
            case (source, items, whole):
                encoded = {key: None if one is None else json.dumps(one).encode() for key, one in items.items()}
                changes += lived.external.take(ExternalConfigChanged(source, encoded, whole))
        for key, value in lived.update(changes, view).items():
            assert applied.get(key) != value
            if value is None:
                del applied[key]
            else:
                applied[key] = value
        fresh = Desired([Shelf()], ExternalConfig(THINGS, kept))
        fresh.resync(view.copy())
        assert lived.values() == fresh.values() == applied
        assert lived.rendered() == {thing.key: thing for thing in view.records("thing")}
        assert {key for key in applied if lived.is_external(key)} == applied.keys() - lived.rendered().keys()


def test_internal_comes_back_when_external_goes_and_external_stays_when_internal_goes() -> None:
    view = View(CONFIG, CONFIG.plan, OwnNode("node1"))
    desired = Desired([Shelf()], ExternalConfig(THINGS))
    desired.update(view.put_record("thing", "a", Thing("a", 1)), view)

    def say(fields: Any) -> dict[str, Any]:
        raw = None if fields is None else json.dumps(fields).encode()
        return desired.update(desired.external.take(ExternalConfigChanged("db", {"thing/a": raw})), view)

    assert say({"name": "a", "size": 5}) == {"thing/a": Thing("a", 5)}
    assert desired.update(view.put_record("thing", "a", Thing("a", 2, ("x",))), view) == {
        "thing/a": Thing("a", 5, ("x",))
    }
    assert desired.update(view.put_record("thing", "a", None), view) == {"thing/a": Thing("a", 5)}
    assert desired.is_external("thing/a")
    assert desired.update(view.put_record("thing", "a", Thing("a", 3)), view) == {}
    assert not desired.is_external("thing/a")
    assert say(None) == {"thing/a": Thing("a", 3)}
    assert isinstance(desired.value("thing/a"), Thing)
    assert desired.value(Sysctl.prefix) is None

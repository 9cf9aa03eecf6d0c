"""What an agent makes of an etcd that lost everything and is filled again."""

from __future__ import annotations

from contivpp.agent.refill import Refill
from contivpp.model import codec, keys
from contivpp.model.node import Node
from contivpp.model.vppnode import VppNode
from contivpp.store.types import Change, KeyValue, Snapshot


def items(*records: tuple[str, bytes]) -> dict[str, KeyValue]:
    return {key: KeyValue(key, value, 1, 1) for key, value in records}


def node(name: str) -> tuple[str, bytes]:
    return keys.record_key("node", name), codec.encode(Node(name=name))


def published(number: int, name: str) -> tuple[str, bytes]:
    return f"{keys.prefix('vppnode')}{number}", codec.encode(VppNode(id=number, name=name))


WHOLE = items(node("one"), node("two"), node("three"), published(1, "one"), published(2, "two"), published(3, "three"))


def lived() -> Refill:
    refill = Refill("one")
    assert refill.take(Snapshot(50, WHOLE))
    return refill


def fill(refill: Refill, *records: tuple[str, bytes]) -> None:
    refill.apply(7, [Change(key, value, 7, 7) for key, value in records])


def test_an_empty_etcd_is_believed_by_who_knows_nothing() -> None:
    assert Refill("one").take(Snapshot(1, {}))


def test_an_etcd_without_nodes_is_not_believed_by_who_knows_some() -> None:
    refill = lived()
    assert not refill.take(Snapshot(1, {}))
    assert refill.doubts
    assert not refill.has_nodes


def test_a_state_with_fewer_nodes_is_believed() -> None:
    assert lived().take(Snapshot(60, items(node("one"))))


def test_what_is_filled_in_is_the_state_and_unpublished_nodes_keep_their_id() -> None:
    refill = lived()
    refill.take(Snapshot(1, {}))
    fill(refill, node("one"), node("two"), published(2, "two"))
    assert refill.has_nodes
    state = refill.believe()
    # This node publishes itself, and what Kubernetes has no more is forgotten.
    assert state.items.keys() == {key for key, _ in (node("one"), node("two"), published(2, "two"))}
    assert state.revision == 7
    assert not refill.doubts


def test_a_node_whose_agent_is_silent_keeps_its_id() -> None:
    refill = lived()
    refill.take(Snapshot(1, {}))
    fill(refill, node("one"), node("two"), node("three"), published(2, "two"))
    assert published(3, "three")[0] in refill.believe().items


def test_an_id_that_somebody_else_has_now_is_not_given_back() -> None:
    refill = lived()
    refill.take(Snapshot(1, {}))
    fill(refill, node("one"), node("two"), node("three"), published(2, "three"))
    state = refill.believe()
    assert codec.decode(VppNode, state.items[published(2, "")[0]].value).name == "three"
    assert published(3, "")[0] not in state.items


def test_what_changed_in_between_counts() -> None:
    refill = lived()
    refill.apply(51, [Change(key, None, 51) for key in (node("three")[0], published(3, "")[0])])
    fill(refill, published(4, "two"))
    refill.apply(52, [Change(published(2, "")[0], None, 52)])
    refill.take(Snapshot(1, {}))
    fill(refill, node("two"), node("three"))
    assert set(refill.believe().items) == {node("two")[0], node("three")[0], published(4, "")[0]}

"""Every case of the conformance matrix on computed tables, against the oracle."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conformance.matrix import NAMES, NAMESPACES, Case, cases
from tests.conformance.simulation import Simulation, pod_of, run

PODS = {f"{where}/{name}": pod_of(where, name) for where in NAMESPACES for name in NAMES}


@pytest.mark.parametrize("version", [4, 6])
def test_there_are_as_many_cases_as_cyclonus_has_and_they_open_and_close(version: int) -> None:
    found = cases(PODS, version)
    tags = Counter(tag for case in found for tag in set(case.tags))
    assert len(found) >= 216, len(found)
    assert {"target", "peers", "block", "ports", "rules", "conflict", "action", "admin"} <= set(tags), tags


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("tag", ["target", "peers", "block", "ports", "rules", "conflict", "action", "admin"])
def test_tables_say_what_kubernetes_says(tag: str, version: int) -> None:
    failed = {}
    for case in cases(PODS, version):
        if tag in case.tags and (said := run(case, version)):
            failed[case.name] = said
    assert not failed, "\n".join(f"{name}: {len(said)} cells, {said[0]}" for name, said in failed.items())


def test_the_oracle_and_the_tables_agree_about_nothing_when_a_policy_is_not_seen() -> None:
    closed: Case = next(case for case in cases(PODS, 4) if case.name == "rules none, Ingress")
    world = Simulation()
    world.cluster.apply(closed.steps[0][0].subject)  # and nobody else hears of it
    assert len(list(world.wrong(4))) == 3 * 8 * 6

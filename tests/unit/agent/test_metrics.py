"""The names of metrics are an interface: what is exported is documented, and what is documented is exported."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import REGISTRY

from contivpp.agent import program
from contivpp.ksr import metrics

README = Path(__file__).resolve().parents[3] / "README.md"


def test_every_metric_is_in_the_readme_and_the_other_way_round() -> None:
    assert program.run  # whose import registers those of the agent and the scheduler
    assert metrics.LEADER
    exported = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in REGISTRY.collect()
        if metric.name.startswith("contiv_")
    }
    assert exported == set(re.findall(r"`(contiv_(?:agent|scheduler|ksr|interface|vpp)_\w+)`", README.read_text()))
    assert all(metric.documentation for metric in REGISTRY.collect())

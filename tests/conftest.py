"""What every test shares: markers by folder, an order that ends with the cluster, and a reason for every skip."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import hypothesis
import pytest

from tests.patience import PATIENCE

REPOSITORY = Path(__file__).resolve().parent.parent

# How long an example takes depends on who else uses the machine. What lands is judged by the same examples every time;
# HYPOTHESIS_PROFILE=exploring (make test-laws) takes others in every run.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("exploring", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

_MARKERS = ("root", "etcd", "vpp", "kube", "e2e")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top folder of the checkout."""
    return REPOSITORY


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test without a marker is a unit test; the cluster's tests come last, because they take the longest."""
    for item in items:
        if not any(item.get_closest_marker(marker) for marker in _MARKERS):
            item.add_marker(pytest.mark.unit)
        limit = item.get_closest_marker("timeout")
        if PATIENCE > 1 and limit is not None:
            item.add_marker(pytest.mark.timeout(limit.args[0] * PATIENCE), append=False)
    items.sort(key=lambda item: item.get_closest_marker("e2e") is not None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what this machine cannot run, and says why."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: it makes network namespaces")
    if item.get_closest_marker("etcd") and shutil.which("etcd") is None:
        pytest.skip("needs etcd: install Debian's etcd-server")
    if item.get_closest_marker("e2e") and os.geteuid() != 0:
        pytest.skip("needs root: it starts three machines")
    if item.get_closest_marker("kube") and not os.environ.get("KUBEBUILDER_ASSETS"):
        pytest.skip("needs a kube-apiserver: set KUBEBUILDER_ASSETS to the folder that holds one")

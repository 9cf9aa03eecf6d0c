"""Which world the suite runs in, the pods that most cases use, and what a failure shows of the world.

The world is shared by all cases, because building it takes seconds. After a failed case it is made anew, so that no
case fails because of another one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.namespaces import NamespacesWorld
from tests.conformance.places import PODS
from tests.conformance.world import Endpoint, World
from tests.integration.dataplane.vpp import prefix

FOLDER = Path(__file__).parent
VERSIONS = {"ipv4": (4,), "ipv6": (6,), "dual": (4, 6)}
MOST_FAILURES = 2
FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make conformance` chooses."""
    group = parser.getgroup("conformance")
    group.addoption("--world", choices=("namespaces", "playground"), default="namespaces")
    group.addoption("--dataplane", choices=("linux", "vpp"), default="linux")
    group.addoption("--family", choices=tuple(VERSIONS), default="ipv4")
    group.addoption("--transport", choices=("vxlan", "nooverlay"), default="vxlan")
    group.addoption("--seed", type=int, default=None, help="of everything random; printed, and different every time")


def _option(config: pytest.Config, name: str, default: Any) -> Any:
    """An option; its default when this file was found after the options had been read (`make test`)."""
    return config.getoption(name, default) or default


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the cases; `make test` runs those marked as representative."""
    for item in items:
        if FOLDER not in item.path.parents:
            continue
        if item.get_closest_marker("unit"):
            continue
        item.add_marker(pytest.mark.root)
        item.add_marker(pytest.mark.etcd)
        if not item.get_closest_marker("representative"):
            item.add_marker(pytest.mark.conformance)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A case that names `version` runs once for each IP version of the cluster."""
    if "version" in metafunc.fixturenames:
        versions = VERSIONS[_option(metafunc.config, "family", "ipv4")]
        metafunc.parametrize("version", versions, ids=[f"ipv{version}" for version in versions])


def pytest_report_header(config: pytest.Config) -> str:
    """What runs."""
    chosen = {name: _option(config, name, "") for name in ("world", "dataplane", "family", "transport")}
    return "conformance: " + ", ".join(f"{name} {value}" for name, value in chosen.items())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failed case shows the world as it stands."""
    report: Any = yield
    if report.when in ("setup", "call") and report.failed:
        item.stash[FAILED] = True
        keeper = getattr(item, "funcargs", {}).get("keeper")
        if keeper is not None and keeper.world is not None:
            try:
                report.sections.append(("the world", keeper.world.describe()))
            except Exception as error:  # a description that fails must not hide the failure
                report.sections.append(("the world", f"cannot be described: {error!r}"))
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    """The closing line, for those who count; only where this suite alone was asked for."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    places = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    if reporter is None or config.option.collectonly or not all(FOLDER in (one, *one.parents) for one in places):
        return
    passed, failed = len(reporter.stats.get("passed", ())), len(reporter.stats.get("failed", ()))
    reporter.write_line(f"{passed} passed, {failed + len(reporter.stats.get('error', ()))} failed")


class Keeper:
    """Holds the world, and makes another one when it is asked for and there is none."""

    def __init__(self, build: Callable[[], World]) -> None:
        self._build = build
        self._failures = 0
        self.world: World | None = None

    def get(self) -> World:
        """The world; it has its pods."""
        if self.world is None:
            self.world = world = self._build()
            self._failures += 1
            if self._failures > MOST_FAILURES:
                pytest.exit(f"the world could not be built {MOST_FAILURES} times", returncode=1)
            world.open()
            world.make_pods(*((name, world.nodes[number]) for name, number in PODS.items()))
            self._failures = 0
        return self.world

    def discard(self) -> None:
        """Takes the world away."""
        if self.world is not None:
            self.world.close()
            self.world = None


@pytest.fixture(scope="session")
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., World]:
    """How to make a world; arguments are those of `NamespacesWorld`."""
    config = request.config
    dataplane, family = _option(config, "dataplane", "linux"), _option(config, "family", "ipv4")
    transport = _option(config, "transport", "vxlan")

    def made(**options: Any) -> World:
        if _option(config, "world", "namespaces") == "playground":
            from tests.conformance.playground import PlaygroundWorld

            if family != "ipv4":
                pytest.exit(f"the machines of the playground have no {family} network: --family=ipv4", returncode=2)
            return PlaygroundWorld(request.getfixturevalue("repository"), dataplane)
        if dataplane == "vpp" and prefix() is None:
            pytest.exit("there is no VPP: install one and name it in VPP_PREFIX", returncode=2)
        folder = tmp_path_factory.mktemp("world") / "cluster"
        return NamespacesWorld(folder, dataplane, family, transport=transport, **options)

    return made


@pytest.fixture(scope="session")
def kept(build: Callable[..., World]) -> Iterator[Keeper]:
    """The one world of the session."""
    keeper = Keeper(build)
    try:
        yield keeper
    finally:
        keeper.discard()


@pytest.fixture
def keeper(request: pytest.FixtureRequest, kept: Keeper) -> Iterator[Keeper]:
    """The keeper of the world, for one case."""
    try:
        yield kept
    finally:
        if request.node.stash.get(FAILED, False):
            kept.discard()


@pytest.fixture
def world(request: pytest.FixtureRequest, keeper: Keeper) -> Iterator[World]:
    """The cluster, whole; what a case adds to it is taken away after it."""
    world = keeper.get()
    yield world
    if not request.node.stash.get(FAILED, False):
        world.clear(keep=[pod for pod in world.pods if pod.name in PODS])


@pytest.fixture
def pods(world: World) -> Mapping[str, Endpoint]:
    """The pods that are always there: a1 and a2 on the first node, b1 and b2 on the second one, c1 and c2."""
    return {pod.name: pod for pod in world.pods if pod.name in PODS}


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """What is random; the seed is shown when the case fails."""
    seed = request.config.getoption("seed", None)
    seed = random.randrange(1 << 32) if seed is None else seed
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.fixture
def needs(world: World) -> Callable[[str], None]:
    """Skips the case when the world cannot do something."""

    def check(what: str) -> None:
        if what in world.lacks:
            pytest.skip(f"the world {world.name} lacks {what}: {world.lacks[what]}")

    return check

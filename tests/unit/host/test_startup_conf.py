"""startup.conf: what is written is read again, what is unknown survives, and what cannot work is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contivpp.host.startup_conf import Change, StartupConf, StartupConfError, from_yaml, model, parse, plan, render
from contivpp.host.startup_conf import fields as kinds
from contivpp.host.startup_conf.syntax import Setting

REPOSITORY = Path(__file__).resolve().parents[3]
WORDS = st.from_regex(r"[a-zA-Z0-9/._:-]{1,12}", fullmatch=True)
NUMBERS = st.integers(0, 2**31)
SIZES = st.tuples(st.integers(80, 999), st.sampled_from("MGmg")).map(lambda pair: f"{pair[0]}{pair[1]}")
# None of these is a setting of VPP, in any block.
UNKNOWN = st.from_regex(r"x-[a-z]{1,8}", fullmatch=True)


def unknown_settings() -> st.SearchStrategy[tuple[Setting, ...]]:
    leaf = st.builds(Setting, st.tuples(UNKNOWN), st.lists(WORDS, max_size=2).map(tuple))
    block = st.builds(
        Setting, st.tuples(UNKNOWN), st.lists(WORDS, max_size=1).map(tuple), st.lists(leaf, max_size=2).map(tuple)
    )
    return st.lists(leaf | block, max_size=2).map(tuple)


def values_of(kind: kinds.Kind) -> st.SearchStrategy[Any]:
    match kind:
        case kinds.Flag():
            return st.booleans()
        case kinds.Switch():
            return st.none() | st.booleans()
        case kinds.Number():
            return st.none() | NUMBERS
        case kinds.Decimal():
            return st.just("") | st.sampled_from(["10", "0.5"])
        case kinds.Size():
            return st.just("") | SIZES
        case kinds.PageSize():
            return st.sampled_from(["", "default", "default-hugepage", "2M"])
        case kinds.Mask():
            return st.sampled_from(["", "06", "0c00"])
        case kinds.Address():
            return st.sampled_from(["", "0xfc0000000"])
        case kinds.Cores():
            return st.sampled_from(["", "2-3", "1,4-5,18"])
        case kinds.Choice():
            return st.sampled_from(["", *kind.wanted.removeprefix("one of ").split(", ")])
        case kinds.Words():
            return st.lists(WORDS, max_size=3, unique=True).map(tuple)
        case kinds.Block():
            return sections(kind.section)
        case kinds.Blocks():
            named = st.dictionaries(WORDS, sections(kind.section), max_size=2)
            return named.map(lambda blocks: tuple(blocks.items()))
    return st.just("") | WORDS


@st.composite
def sections(draw: st.DrawFn, section: type[Any]) -> Any:
    """A section with a few of its settings: all at once would take minutes to draw."""
    each = {name: kind for name, _, kind in kinds.fields(section)}
    chosen = draw(st.lists(st.sampled_from(sorted(each)), max_size=5, unique=True))
    values = {name: draw(values_of(each[name])) for name in chosen}
    return section(extra=draw(unknown_settings()), **values)


def configurations() -> st.SearchStrategy[StartupConf]:
    """Everything that the model can say, and that does not contradict itself."""

    def is_sound(conf: StartupConf) -> bool:
        try:
            render(conf)
        except StartupConfError:
            return False
        return True

    def loose(conf: StartupConf) -> StartupConf:
        """Without the contradictions that chance would bring into nearly every one."""
        return dataclasses.replace(
            conf,
            unix=dataclasses.replace(conf.unix, interactive=False, cli_listen=""),
            socksvr=dataclasses.replace(conf.socksvr, socket_name="/run/api.sock"),
            statseg=dataclasses.replace(conf.statseg, socket_name=""),
            api_trace=dataclasses.replace(conf.api_trace, on=True),
            buffers=dataclasses.replace(conf.buffers, numa=(("0", model.NumaBuffers(buffers=7)),)),
            cpu=dataclasses.replace(
                conf.cpu, main_core=0, corelist_workers="", coremask_workers="", scheduler_priority=None
            ),
            dpdk=dataclasses.replace(
                conf.dpdk,
                no_pci=False,
                dev=tuple(
                    (f"0000:00:0{number}.0", dataclasses.replace(device, name=f"nic{number}", workers=""))
                    for number, (_, device) in enumerate(conf.dpdk.dev)
                ),
            ),
            plugins=dataclasses.replace(
                conf.plugins,
                plugin=tuple((name, dataclasses.replace(one, enable=False)) for name, one in conf.plugins.plugin),
            ),
        )

    return sections(StartupConf).map(loose).filter(is_sound)


SPACE = "\n  # what an operator wrote\n"


@settings(max_examples=60, deadline=None)
@given(configurations())
def test_what_is_written_is_read_again_and_a_second_rendering_changes_nothing(conf: StartupConf) -> None:
    text = render(conf)
    assert parse(text) == conf
    assert render(parse(text)) == text


@settings(max_examples=60, deadline=None)
@given(configurations(), configurations())
def test_a_file_becomes_what_is_wanted_and_keeps_what_nobody_knows(old: StartupConf, wanted: StartupConf) -> None:
    existing = "# an operator's\n" + render(old) + SPACE
    done = plan(existing, wanted)
    again = plan(done.text, wanted)
    assert again.changes == () and again.text == done.text
    known, there = without_unknown(wanted), without_unknown(parse(done.text))
    assert there == known
    for comment in ("# an operator's", "# what an operator wrote"):
        assert comment in done.text
    for one in (*old.extra, *old.unix.extra):
        if not any(one.key == other.key for other in (*wanted.extra, *wanted.unix.extra)):
            assert one in (*parse(done.text).extra, *parse(done.text).unix.extra)
    for one in (*wanted.extra, *wanted.unix.extra):
        assert one in (*parse(done.text).extra, *parse(done.text).unix.extra)


def without_unknown(section: Any) -> Any:
    """A section as the model knows it; named blocks in the order of their names, for a file keeps its own."""
    changed: dict[str, Any] = {"extra": ()}
    for name, _, kind in kinds.fields(type(section)):
        value = getattr(section, name)
        if isinstance(kind, kinds.Block):
            changed[name] = without_unknown(value)
        elif isinstance(kind, kinds.Blocks):
            changed[name] = tuple(sorted(((title, without_unknown(inner)) for title, inner in value), key=str))
        elif isinstance(kind, kinds.Words):
            changed[name] = tuple(sorted(value))
    return dataclasses.replace(section, **changed)


EXISTING = """\
# our routers
unix { nodaemon log /var/log/vpp.log  # rotated
       cli-listen /run/vpp/cli.sock full-coredump }

plugins {
  plugin default { disable }  # all but ours
  # plugin one_plugin.so { enable }
  plugin dpdk_plugin.so { enable }
  load-hook /etc/hook now
}
new-block here { deep { thing 1 } }
cpu { main-core 1 corelist-workers 2-3 }
"""


def test_unknown_settings_and_comments_keep_their_places() -> None:
    wanted = from_yaml(
        {
            "unix": {"nodaemon": True, "log": "/var/log/vpp.log", "cli-listen": "/run/vpp/cli.sock", "gid": "vpp"},
            "plugins": {"plugin": {"default": {"disable": True}, "acl_plugin.so": {"enable": True}}},
        }
    )
    done = plan(EXISTING, wanted)
    assert done.text == (
        "# our routers\n"
        "unix {\n"
        "  nodaemon\n"
        "  log /var/log/vpp.log  # rotated\n"
        "  cli-listen /run/vpp/cli.sock\n"
        "  gid vpp\n"
        "}\n"
        "\n"
        "plugins {\n"
        "  plugin default { disable }  # all but ours\n"
        "  plugin acl_plugin.so { enable }\n"
        "  # plugin one_plugin.so { enable }\n"
        "  load-hook /etc/hook now\n"
        "}\n"
        "new-block here {\n"
        "  deep { thing 1 }\n"
        "}\n"
    )
    assert done.changes == (
        Change("cpu.corelist-workers", "2-3", None),
        Change("cpu.main-core", "1", None),
        Change("plugins.plugin acl_plugin.so.enable", None, "set"),
        Change("plugins.plugin dpdk_plugin.so.enable", "set", None),
        Change("unix.full-coredump", "set", None),
        Change("unix.gid", None, "vpp"),
    )
    assert done.kept == ("new-block here.deep.thing", "plugins.load-hook")


def test_a_file_that_says_what_is_wanted_is_left_to_the_letter() -> None:
    untidy = "unix{nodaemon}# so\n\n\nmemory   {main-heap-size\n 1G}"
    done = plan(untidy, parse(untidy))
    assert done.text == untidy
    assert done.changes == ()


def test_blocks_of_one_name_add_up_and_the_last_word_counts_as_for_vpp() -> None:
    text = "memory { main-heap-size 1G } unix { nodaemon } memory { main-heap-size 2G default-hugepage-size 1G }"
    conf = parse(text)
    assert conf.memory == model.Memory(main_heap_size="2G", default_hugepage_size="1G")
    wanted = dataclasses.replace(conf, unix=model.Unix())
    assert plan(text, wanted).text == "memory {\n  main-heap-size 2G\n  default-hugepage-size 1G\n}\n"


def test_a_new_file_says_who_wrote_it_and_every_setting_is_a_change() -> None:
    done = plan(None, from_yaml({"unix": {"nodaemon": True, "poll-sleep-usec": 100}}))
    assert done.text.startswith("#")
    assert done.changes == (Change("unix.nodaemon", None, "set"), Change("unix.poll-sleep-usec", None, "100"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("unix {\n nodaemon\n", "line 1: the block that begins here is not closed"),
        ("unix { }\n}\n", "line 2: a block is closed that was not opened"),
        ("{ }", "line 1: a block has no name"),
        ("\nunix { log }", "line 2: log has no value"),
        ("unix { poll-sleep-usec often }", "unix.poll-sleep-usec: 'often' is not a whole number"),
        ("memory { main-heap-size much }", "memory.main-heap-size: 'much' is not an amount of memory"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_place(text: str, said: str) -> None:
    with pytest.raises(StartupConfError) as refused:
        parse(text)
    assert said in str(refused.value)


def test_strict_names_every_unknown_setting_with_the_nearest_known_one() -> None:
    options = {
        "unix": {"pol-sleep-usec": 3, "nodaemon": True},
        "plugin": {"x": 1},
        "zzz": True,
        "session": {"event-queue-length": 5},
        "plugins": {"plugin": {"acl_plugin.so": {"enabled": True}}},
    }
    assert from_yaml(options).unix.nodaemon
    with pytest.raises(StartupConfError) as refused:
        from_yaml(options, strict=True)
    assert refused.value.problems == [
        "plugin: is not a setting that is known; did you mean plugins?",
        "zzz: is not a setting that is known",
        "unix.pol-sleep-usec: is not a setting that is known; did you mean poll-sleep-usec?",
        "plugins.plugin acl_plugin.so.enabled: is not a setting that is known; did you mean enable?",
    ]
    with pytest.raises(StartupConfError, match="nodeamon"):
        parse("unix { nodeamon }", strict=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"unix": {"nodaemon": "yes"}}, "unix.nodaemon: 'yes' is not true or false"),
        ({"unix": ["nodaemon"]}, "unix: ['nodaemon'] is not an object"),
        ({"unix": {"log": "/a b"}}, "unix.log: '/a b' is not one word"),
        ({"unix": {"interactive": True, "nodaemon": True}}, "unix: interactive and nodaemon: set one of them"),
        ({"memory": {"main-heap-size": "16M"}}, "memory.main-heap-size: 16M is too little"),
        ({"buffers": {"buffers-per-numa": 0}}, "0 buffers carry no packet"),
        ({"buffers": {"layout": "square"}}, "buffers.layout: 'square' is not one of natural, packed"),
        (
            {"cpu": {"main-core": 0, "workers": 2, "corelist-workers": "1-2"}},
            "cpu: corelist-workers and workers: set one of them",
        ),
        ({"cpu": {"corelist-workers": "1-2"}}, "cpu.corelist-workers: VPP wants main-core set as well"),
        ({"cpu": {"coremask-workers": "06"}}, "cpu.coremask-workers: VPP wants main-core set as well"),
        ({"cpu": {"main-core": 0, "coremask-workers": "0x6"}}, "cpu.coremask-workers: '0x6' is not an even number of"),
        ({"cpu": {"main-core": 0, "coremask-workers": "6"}}, "cpu.coremask-workers: '6' is not an even number of"),
        (
            {"cpu": {"main-core": 0, "coremask-workers": 0x0C}},
            "cpu.coremask-workers: 12 is a number: write it in quotes",
        ),
        ({"physmem": {"base-addr": 0xFC0000000}}, "physmem.base-addr: 67645734912 is a number: write it in quotes"),
        ({"physmem": {"base-addr": "67645734912"}}, "physmem.base-addr: '67645734912' is not an address"),
        ({"cpu": {"main-core": 0, "corelist-workers": "5-3"}}, "cpu.corelist-workers: '5-3' is not a list of cores"),
        ({"cpu": {"main-core": 0, "corelist-workers": "1-99999999999"}}, "is not a list of cores"),
        ({"dpdk": {"dev": {"0000:00:08.0": {"workers": "3-1"}}}}, "workers: '3-1' is not a list of cores"),
        ({"cpu": {"main-core": 2, "corelist-workers": "1-2"}}, "core 2 is main-core"),
        ({"cpu": {"skip-cores": 1}}, "cpu.skip-cores: VPP wants main-core"),
        ({"cpu": {"corelist-workers": "a-b"}}, "cpu.corelist-workers: 'a-b' is not a list of cores"),
        ({"cpu": {"scheduler-priority": 3}}, "counts only with scheduler-policy fifo or rr"),
        ({"dpdk": {"dev": {"eth0": {}}}}, "dpdk.dev eth0: is not a PCI address"),
        ({"dpdk": {"no-pci": True, "dev": {"0000:00:08.0": {}}}}, "dpdk.no-pci: VPP would take none"),
        (
            {"dpdk": {"dev": {"0000:00:08.0": {"name": "a"}, "0000:00:09.0": {"name": "a"}}}},
            "a is the name of 0000:00:08.0 as well",
        ),
        (
            {"cpu": {"workers": 2}, "dpdk": {"dev": {"0000:00:08.0": {"workers": "0-1"}}}},
            "2 workers for 1 receive queues",
        ),
        ({"dpdk": {"dev": {"0000:00:08.0": {"workers": "3"}}}}, "there is no worker 3"),
        ({"plugins": {"plugin": {"a.so": {"enable": True, "disable": True}}}}, "enable and disable"),
        ({"socksvr": {"socket-name": "/" + "x" * 120}}, "longer than a unix socket's name"),
        ({"socksvr": {"socket-name": "/s"}, "statseg": {"socket-name": "/s"}}, "is that of socksvr.socket-name"),
        ({"api-trace": {"nitems": 3}}, "counts only together with api-trace.on"),
        ({"buffers": {"numa": {"first": {}}}}, "is not the number of a NUMA node"),
        ({"x": {"a}": 1}}, "a key is words without braces"),
    ],
)
def test_what_vpp_would_not_start_with_is_refused_by_name(options: dict[str, Any], said: str) -> None:
    with pytest.raises(StartupConfError) as refused:
        from_yaml(options)
    assert said in str(refused.value)
    assert len(refused.value.problems) == 1


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(StartupConfError) as refused:
        from_yaml({"unix": {"log": "a b", "nodaemon": 1}, "memory": {"main-heap-size": "x"}})
    assert len(refused.value.problems) == 3


def test_a_comment_or_a_line_end_between_a_name_and_its_block_is_no_mistake() -> None:
    text = "unix # the process\n{\n log # where\n /var/log/x\n}\nodd\n{ a }\n"
    conf = parse(text)
    assert conf.unix.log == "/var/log/x"
    assert conf.extra == (Setting(("odd",), (), (Setting(("a",)),)),)
    assert "# the process" in plan(text, from_yaml({"unix": {"nodaemon": True}})).text


def test_what_must_come_first_comes_first_in_a_file_that_has_the_rest() -> None:
    text = "api-trace { save-api-table t on }"
    done = plan(text, from_yaml({"api-trace": {"on": True, "nitems": 9, "save-api-table": "t"}}))
    assert done.text == "api-trace {\n  save-api-table t\n  on\n  nitems 9\n}\n"


def test_it_needs_the_standard_library_only() -> None:
    script = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import contivpp.host.startup_conf"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

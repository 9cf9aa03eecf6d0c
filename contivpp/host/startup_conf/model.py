"""VPP's startup.conf as values: a frozen dataclass for each block, a field for each setting.

A field that is as by default is not written, and VPP decides. The order of fields is that of the text, where VPP cares
(`nitems` counts only behind `on`). What a block has beyond its fields is in its `extra`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Mapping

from . import syntax
from .fields import (
    Address,
    Block,
    Blocks,
    Choice,
    Cores,
    Decimal,
    Flag,
    Kind,
    Mask,
    Number,
    PageSize,
    Size,
    Switch,
    Words,
    check,
    forms_of,
    from_options,
    section_of,
    setting,
    settings_of,
    unknown,
)

LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "disabled")


@dataclass(frozen=True)
class Section:
    """What all blocks share.

    Attributes:
        extra: settings that the model does not know.
        also: settings of VPP that it knows of, without their contents.
    """

    also: ClassVar[tuple[str, ...]] = ()
    extra: tuple[syntax.Setting, ...] = ()


@dataclass(frozen=True)
class Unix(Section):
    """The process: its terminal, its command line, its log, and how long its main loop may sleep."""

    nodaemon: bool = setting("nodaemon", Flag())
    interactive: bool = setting("interactive", Flag())
    nosyslog: bool = setting("nosyslog", Flag())
    nocolor: bool = setting("nocolor", Flag())
    nobanner: bool = setting("nobanner", Flag())
    use_current_dir: bool = setting("use-current-dir", Flag())
    log: str = setting("log", Kind())
    full_coredump: bool = setting("full-coredump", Flag())
    coredump_size: str = setting("coredump-size", Kind())
    runtime_dir: str = setting("runtime-dir", Kind())
    cli_listen: str = setting("cli-listen", Kind())
    cli_prompt: str = setting("cli-prompt", Kind())
    cli_line_mode: bool = setting("cli-line-mode", Flag())
    cli_no_banner: bool = setting("cli-no-banner", Flag())
    cli_no_pager: bool = setting("cli-no-pager", Flag())
    cli_pager_buffer_limit: int | None = setting("cli-pager-buffer-limit", Number())
    cli_history_limit: int | None = setting("cli-history-limit", Number())
    gid: str = setting("gid", Kind())
    pidfile: str = setting("pidfile", Kind())
    exec: str = setting("exec", Kind())
    startup_config: str = setting("startup-config", Kind())
    poll_sleep_usec: int | None = setting("poll-sleep-usec", Number())


@dataclass(frozen=True)
class ApiTrace(Section):
    """Whether API messages are recorded, and how many of them."""

    on: bool = setting("on", Flag())
    nitems: int | None = setting("nitems", Number())
    save_api_table: str = setting("save-api-table", Kind())


@dataclass(frozen=True)
class ApiSegment(Section):
    """The shared memory of API clients, and who may use it."""

    prefix: str = setting("prefix", Kind())
    uid: str = setting("uid", Kind())
    gid: str = setting("gid", Kind())
    baseva: str = setting("baseva", Kind())
    global_size: str = setting("global-size", Size())
    global_pvt_heap_size: str = setting("global-pvt-heap-size", Size())
    api_pvt_heap_size: str = setting("api-pvt-heap-size", Size())
    api_size: str = setting("api-size", Size())


@dataclass(frozen=True)
class Socksvr(Section):
    """The API socket."""

    socket_name: str = setting("socket-name", Kind())
    default: bool = setting("default", Flag())


@dataclass(frozen=True)
class Statseg(Section):
    """The statistics segment, and the socket that hands it out."""

    socket_name: str = setting("socket-name", Kind())
    default: bool = setting("default", Flag())
    size: str = setting("size", Size())
    page_size: str = setting("page-size", PageSize())
    per_node_counters: bool | None = setting("per-node-counters", Switch())
    update_interval: str = setting("update-interval", Decimal())


@dataclass(frozen=True)
class Memory(Section):
    """The main heap."""

    main_heap_size: str = setting("main-heap-size", Size())
    main_heap_page_size: str = setting("main-heap-page-size", PageSize())
    default_hugepage_size: str = setting("default-hugepage-size", PageSize())


@dataclass(frozen=True)
class Physmem(Section):
    """The memory that devices reach."""

    base_addr: str = setting("base-addr", Address())
    max_size: str = setting("max-size", Size())


@dataclass(frozen=True)
class NumaBuffers(Section):
    """The buffers of one NUMA node."""

    buffers: int | None = setting("buffers", Number())


@dataclass(frozen=True)
class Buffers(Section):
    """Packet buffers: their number, the bytes in each, and the pages they lie in."""

    buffers_per_numa: int | None = setting("buffers-per-numa", Number())
    default_data_size: int | None = setting("default data-size", Number())
    page_size: str = setting("page-size", PageSize())
    layout: str = setting("layout", Choice("natural", "packed"))
    numa: tuple[tuple[str, NumaBuffers], ...] = setting("numa", Blocks(NumaBuffers))


@dataclass(frozen=True)
class Cpu(Section):
    """Where threads run."""

    main_core: int | None = setting("main-core", Number())
    corelist_workers: str = setting("corelist-workers", Cores())
    coremask_workers: str = setting("coremask-workers", Mask())
    workers: int | None = setting("workers", Number())
    skip_cores: int | None = setting("skip-cores", Number())
    relative: bool = setting("relative", Flag())
    use_pthreads: bool = setting("use-pthreads", Flag())
    thread_prefix: str = setting("thread-prefix", Kind())
    numa_heap_size: str = setting("numa-heap-size", Size())
    scheduler_policy: str = setting("scheduler-policy", Choice("other", "batch", "idle", "fifo", "rr"))
    scheduler_priority: int | None = setting("scheduler-priority", Number())


@dataclass(frozen=True)
class DpdkDevice(Section):
    """One NIC, or what all have by default."""

    also: ClassVar[tuple[str, ...]] = ("rss",)
    name: str = setting("name", Kind())
    tag: str = setting("tag", Kind())
    num_rx_queues: int | None = setting("num-rx-queues", Number())
    num_tx_queues: int | None = setting("num-tx-queues", Number())
    num_rx_desc: int | None = setting("num-rx-desc", Number())
    num_tx_desc: int | None = setting("num-tx-desc", Number())
    workers: str = setting("workers", Cores())
    rss_queues: str = setting("rss-queues", Cores())
    no_rx_interrupts: bool = setting("no-rx-interrupts", Flag())
    tso: bool | None = setting("tso", Switch())
    devargs: str = setting("devargs", Kind())
    max_lro_pkt_size: int | None = setting("max-lro-pkt-size", Number())


@dataclass(frozen=True)
class Dpdk(Section):
    """NICs that VPP drives itself, by their PCI addresses; `default` is for all of them."""

    also: ClassVar[tuple[str, ...]] = ("huge-dir", "proc-type", "block", "base-virtaddr", "trace", "blacklist")
    dev: tuple[tuple[str, DpdkDevice], ...] = setting("dev", Blocks(DpdkDevice))
    uio_driver: str = setting("uio-driver", Kind())
    uio_bind_force: bool = setting("uio-bind-force", Flag())
    no_pci: bool = setting("no-pci", Flag())
    no_vmbus: bool = setting("no-vmbus", Flag())
    no_hugetlb: bool = setting("no-hugetlb", Flag())
    socket_mem: str = setting("socket-mem", Kind())
    no_multi_seg: bool = setting("no-multi-seg", Flag())
    no_tx_checksum_offload: bool = setting("no-tx-checksum-offload", Flag())
    enable_tcp_udp_checksum: bool = setting("enable-tcp-udp-checksum", Flag())
    enable_outer_checksum_offload: bool = setting("enable-outer-checksum-offload", Flag())
    enable_mbuf_fast_free: bool = setting("enable-mbuf-fast-free", Flag())
    enable_lro: bool = setting("enable-lro", Flag())
    max_simd_bitwidth: str = setting("max-simd-bitwidth", Kind())
    decimal_interface_names: bool = setting("decimal-interface-names", Flag())
    telemetry: bool = setting("telemetry", Flag())
    link_state_poll_interval: str = setting("link-state-poll-interval", Decimal())
    stats_poll_interval: str = setting("stats-poll-interval", Decimal())
    log_level: str = setting("log-level", Kind())
    iova_mode: str = setting("iova-mode", Choice("pa", "va"))
    file_prefix: str = setting("file-prefix", Kind())
    vdev: tuple[str, ...] = setting("vdev", Words())


@dataclass(frozen=True)
class Plugin(Section):
    """Whether a plugin is loaded."""

    enable: bool = setting("enable", Flag())
    disable: bool = setting("disable", Flag())
    skip_version_check: bool = setting("skip-version-check", Flag())


@dataclass(frozen=True)
class Plugins(Section):
    """Which plugins are loaded: by file name; `default` is for those that are not named."""

    path: str = setting("path", Kind())
    add_path: str = setting("add-path", Kind())
    name_filter: str = setting("name-filter", Kind())
    plugin: tuple[tuple[str, Plugin], ...] = setting("plugin", Blocks(Plugin))


@dataclass(frozen=True)
class LogClass(Section):
    """The log of one part of VPP."""

    rate_limit: int | None = setting("rate-limit", Number())
    level: str = setting("level", Choice(*LEVELS))
    syslog_level: str = setting("syslog-level", Choice(*LEVELS))
    kmsg_level: str = setting("kmsg-level", Choice(*LEVELS))


@dataclass(frozen=True)
class Logging(Section):
    """What is logged where."""

    size: int | None = setting("size", Number())
    unthrottle_time: int | None = setting("unthrottle-time", Number())
    default_log_level: str = setting("default-log-level", Choice(*LEVELS))
    default_syslog_log_level: str = setting("default-syslog-log-level", Choice(*LEVELS))
    default_kmsg_log_level: str = setting("default-kmsg-log-level", Choice(*LEVELS))
    add_to_elog: bool = setting("add-to-elog", Flag())
    log_class: tuple[tuple[str, LogClass], ...] = setting("class", Blocks(LogClass))


@dataclass(frozen=True)
class Interface(Section):
    """How interfaces take packets in, where nobody said otherwise."""

    default_rx_mode: str = setting("default-rx-mode", Choice("polling", "interrupt", "adaptive"))


@dataclass(frozen=True)
class Ethernet(Section):
    """The MTU of interfaces, in bytes."""

    default_mtu: int | None = setting("default-mtu", Number())


@dataclass(frozen=True)
class L2Learn(Section):
    """How many MAC addresses are learnt."""

    limit: int | None = setting("limit", Number())


@dataclass(frozen=True)
class L3Fib(Section):
    """The memory set aside for routes."""

    load_balance_pool_size: str = setting("load-balance-pool-size", Size())
    fib_entry_pool_size: str = setting("fib-entry-pool-size", Size())
    ip4_mtrie_pool_size: str = setting("ip4-mtrie-pool-size", Size())


@dataclass(frozen=True)
class Ip6(Section):
    """The table of IPv6 routes."""

    hash_buckets: int | None = setting("hash-buckets", Number())
    heap_size: str = setting("heap-size", Size())
    default_table_name: str = setting("default-table-name", Kind())


@dataclass(frozen=True)
class Cnat(Section):
    """Translation of addresses: the sessions that it has room for, how long they last, and how soon they are swept."""

    session_max: int | None = setting("session-max", Number())
    session_max_per_vrf: int | None = setting("session-max-per-vrf", Number())
    session_max_age: int | None = setting("session-max-age", Number())
    session_cleanup_timeout: str = setting("session-cleanup-timeout", Decimal())
    session_max_port_retries: int | None = setting("session-max-port-retries", Number())
    session_log2_pool_size: int | None = setting("session-log2-pool-size", Number())
    tcp_max_age: int | None = setting("tcp-max-age", Number())
    scanner: bool | None = setting("scanner", Switch())
    maglev_len: int | None = setting("maglev-len", Number())
    translation_db_buckets: int | None = setting("translation-db-buckets", Number())
    translation_db_memory: str = setting("translation-db-memory", Size())
    client_db_buckets: int | None = setting("client-db-buckets", Number())
    client_db_memory: str = setting("client-db-memory", Size())
    snat_db_buckets: int | None = setting("snat-db-buckets", Number())
    snat_db_memory: str = setting("snat-db-memory", Size())
    snat_if_map_len: int | None = setting("snat-if-map-len", Number())


@dataclass(frozen=True)
class AclPlugin(Section):
    """Access lists: whether what they decided for a session is decided anew when they change (1)."""

    reclassify_sessions: int | None = setting("reclassify sessions", Number())
    use_tuple_merge: int | None = setting("use tuple merge", Number())
    connection_count_max: int | None = setting("connection count max", Number())


@dataclass(frozen=True)
class StartupConf(Section):
    """The whole file."""

    # fmt: off
    also: ClassVar[tuple[str, ...]] = (
        "api-fuzz", "api-queue", "crypto-engines", "crypto_sw_scheduler", "ct6", "devices",
        "dns", "dsa", "dslite", "fateshare", "heapsize", "http", "ip", "ipsec", "l2fib", "l2tp", "linux-cp",
        "linux-nl", "mactime", "mpls", "nat", "node", "npol-plugin", "nsim", "punt", "pvti", "quic", "selog",
        "session", "sfdp", "tcp", "test-proxy", "tls", "trace", "tuntap", "udp", "unix-cli", "vhost-user", "vlib",
    )
    # fmt: on
    unix: Unix = setting("unix", Block(Unix))
    api_trace: ApiTrace = setting("api-trace", Block(ApiTrace))
    api_segment: ApiSegment = setting("api-segment", Block(ApiSegment))
    socksvr: Socksvr = setting("socksvr", Block(Socksvr))
    statseg: Statseg = setting("statseg", Block(Statseg))
    memory: Memory = setting("memory", Block(Memory))
    physmem: Physmem = setting("physmem", Block(Physmem))
    buffers: Buffers = setting("buffers", Block(Buffers))
    cpu: Cpu = setting("cpu", Block(Cpu))
    dpdk: Dpdk = setting("dpdk", Block(Dpdk))
    plugin_path: str = setting("plugin_path", Kind())
    test_plugin_path: str = setting("test_plugin_path", Kind())
    plugins: Plugins = setting("plugins", Block(Plugins))
    logging: Logging = setting("logging", Block(Logging))
    interface: Interface = setting("interface", Block(Interface))
    ethernet: Ethernet = setting("ethernet", Block(Ethernet))
    l2learn: L2Learn = setting("l2learn", Block(L2Learn))
    l3fib: L3Fib = setting("l3fib", Block(L3Fib))
    ip6: Ip6 = setting("ip6", Block(Ip6))
    cnat: Cnat = setting("cnat", Block(Cnat))
    acl_plugin: AclPlugin = setting("acl-plugin", Block(AclPlugin))


FORMS = forms_of(StartupConf)


def parse(text: str, *, strict: bool = False) -> StartupConf:
    """Reads a file.

    Args:
        text: of the file.
        strict: refuse settings that are not known.

    Raises:
        StartupConfError: with every mistake.
    """
    problems: list[str] = []
    conf = section_of(StartupConf, syntax.read(text, FORMS), "", problems)
    return _sound(conf, problems, strict=strict)


def from_yaml(options: Mapping[str, Any], *, strict: bool = False) -> StartupConf:
    """Takes the file's content as objects: keys as in the file, blocks by name as objects, flags as true.

    Raises:
        StartupConfError: with every mistake.
    """
    problems: list[str] = []
    conf = from_options(StartupConf, options, "", problems)
    return _sound(conf, problems, strict=strict)


def nodes_of(conf: StartupConf) -> tuple[syntax.Node, ...]:
    """The tree of a file that says what `conf` does, and nothing else."""
    return tuple(settings_of(conf))


def render(conf: StartupConf) -> str:
    """The text of a file that says what `conf` does, and nothing else.

    Raises:
        StartupConfError: a value cannot be written, or some do not go together.
    """
    return syntax.write(nodes_of(_sound(conf, [], strict=False)))


def _sound(conf: StartupConf, problems: list[str], *, strict: bool) -> StartupConf:
    from .checks import together

    if not problems:
        check(conf, "", problems)
    if not problems:
        problems += together(conf)
    if strict:
        problems += unknown(conf)
    if problems:
        raise syntax.StartupConfError(problems)
    return conf

"""vppcli, vppdump and trace over a cluster made of dictionaries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.console import Console

from contivpp.netctl import status as status_view
from contivpp.netctl import trace as trace_view
from contivpp.netctl import vpp as vpp_view
from contivpp.netctl import vppdump as vppdump_view
from contivpp.netctl.agents import Answer
from contivpp.netctl.errors import AgentError, ExitCode, NetctlError, UsageError
from contivpp.netctl.render import Output, document, show
from contivpp.netctl.report import Report
from tests.unit.netctl.fakes import HOSTS, FakeAgents, FakeStore, cluster_of, plan_of, pod, records

NODE1, NODE2 = HOSTS["node1"], HOSTS["node2"]
PODS = [pod("web-1", "10.1.1.2", node="node1"), pod("web-2", "10.1.2.2", node="node2")]
ROUTES = [
    {"to": "10.1.1.2/32", "vrf": 1, "via": "10.1.1.2", "interface": "afpacket-aaaaaaaaaaaaaaa", "via_vrf": None},
    {"to": "10.1.2.0/24", "vrf": 1, "via": "192.168.30.2", "interface": "vxlanBVI", "via_vrf": None},
    {"to": "10.1.0.0/16", "vrf": 0, "via": "", "interface": "", "via_vrf": 1},
]


def agents(**more: Any) -> FakeAgents:
    plan = plan_of(1)
    plan.body["config"]["podSubnetOneNodePrefixLen"] = 24
    sandboxes = [{"pod": "default/web-1", "ip": "10.1.1.2", "container_id": "a" * 64}]
    here = {
        (NODE1, "contiv/v1/pods"): Answer(200, sandboxes),
        (NODE1, "contiv/v1/ipam"): plan,
        (NODE2, "contiv/v1/pods"): Answer(200, [{"pod": "default/web-2", "ip": "10.1.2.2", "container_id": "c" * 64}]),
        (NODE2, "contiv/v1/ipam"): plan,
    }
    return FakeAgents({**here, **more.get("answers", {})})


def dump(kind: str, *values: dict[str, Any]) -> Answer:
    items = [{"key": f"vpp/{kind}/{number}", "type": "Thing", "value": value} for number, value in enumerate(values)]
    return Answer(
        200,
        {
            "version": "26.10",
            "kinds": [kind],
            "numbers": {"vxlanBVI": 3, "vxlan-default-2": 5},
            "values": {kind: items},
        },
    )


def text_of(report: Report) -> str:
    out = Console(width=500, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(report, Output.TABLE, out=out, err=out)
    return out.export_text()


async def test_a_command_is_carried_out_and_its_answer_shown_as_it_is():
    asked = agents(answers={(NODE1, "vpp/cli"): Answer(200, {"output": "vpp v26.10\n  built\n"})})
    report = await vpp_view.command(await cluster_of(records()), asked, "node1", ["show", "version"])
    assert asked.asked[-1] == (NODE1, "vpp/cli", {"command": "show version"})
    assert text_of(report) == "vpp v26.10\n  built\n"
    assert json.loads(document(report, Output.JSON))["output"] == "vpp v26.10\n  built\n"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(422, {"Error": "unknown input `bogus'"}), "node1: VPP says: unknown input `bogus'"),
        (Answer(503, {"Error": "VPP at /run/vpp/api.sock: connection refused"}), "connection refused"),
        (Answer(409, {"Error": "node1 forwards with the kernel"}), "forwards with the kernel"),
        (AgentError("no answer"), "node1: no answer"),
    ],
)
async def test_a_command_without_an_answer_says_why(answer: Any, sentence: str):
    with pytest.raises(NetctlError, match=sentence):
        await vpp_view.command(
            await cluster_of(records()), agents(answers={(NODE1, "vpp/cli"): answer}), "node1", ["show", "bogus"]
        )


async def test_routes_are_shown_with_the_names_of_pods_and_nodes():
    asked = agents(answers={(NODE1, "vpp/dump?type=route"): dump("route", *ROUTES)})
    report = await vppdump_view.view(await cluster_of(records(pods=PODS)), asked, "node1", "route")
    lines = [" ".join(line.split()) for line in text_of(report).splitlines()]
    assert lines[0] == "# TO VRF VIA INTERFACE VIA-VRF"
    assert lines[1] == (
        "10.1.1.2/32 (pod default/web-1) 1 10.1.1.2 (pod default/web-1) afpacket-aaaaaaaaaaaaaaa (pod default/web-1)"
    )
    assert lines[2] == "3 10.1.2.0/24 (the pods of node2) 1 192.168.30.2 (node node2) vxlanBVI"
    assert lines[3] == "10.1.0.0/16 0 1"
    data = json.loads(document(report, Output.JSON))
    assert data["kinds"]["route"][1]["names"] == {"to": "the pods of node2", "via": "node node2"}
    assert data["kinds"]["route"][1]["value"] == ROUTES[1]


async def test_a_kind_that_this_program_never_heard_of_is_shown_by_its_fields():
    value = {"name": "vxlan-default-2", "rules": [{"permit": True, "port": 80}, {"permit": False}], "empty": []}
    asked = agents(answers={(NODE1, "vpp/dump"): dump("novelty", value)})
    report = await vppdump_view.view(await cluster_of(records()), asked, "node1", None)
    lines = [" ".join(line.split()) for line in text_of(report).splitlines()]
    assert lines == ["# NAME RULES", "5 vxlan-default-2 (tunnel to node2) permit=yes port=80, permit=no"]


@pytest.mark.parametrize("wanted", ["route", "routes"])
async def test_a_kind_may_be_named_in_the_plural(wanted: str):
    missing = Answer(404, {"Error": "type=x: there are address, route"})
    answers = {(NODE1, f"vpp/dump?type={name}"): missing for name in ("routes", "rout")}
    asked = agents(answers={**answers, (NODE1, "vpp/dump?type=route"): dump("route", *ROUTES)})
    report = await vppdump_view.view(await cluster_of(records()), asked, "node1", wanted)
    assert report.code is ExitCode.GOOD


async def test_a_kind_that_the_agent_does_not_have_is_a_usage_error_with_those_that_it_has():
    asked = agents(answers={(NODE1, "vpp/dump?type=x"): Answer(404, {"Error": "type=x: there are address, route"})})
    with pytest.raises(UsageError, match="there are address, route"):
        await vppdump_view.view(await cluster_of(records()), asked, "node1", "x")


# ---- trace


def step(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "at": kind, **fields}


def packet(*steps: dict[str, Any], reply: bool = False, time: float = 1, **fields: Any) -> dict[str, Any]:
    verdict = {"drop": "dropped", "sent": "sent"}[steps[-1]["kind"]]
    return {
        **{"time": time, "reply": reply, "summary": "TCP SYN", "key": "k", "verdict": verdict, "steps": list(steps)},
        **fields,
    }


def leaving(pod: str, other: int) -> tuple[dict[str, Any], ...]:
    """What a packet of a pod meets that goes to the other node."""
    return (
        step("in", interface=f"afpacket-{pod * 15}"),
        step("lookup", table="podVRF"),
        step("tunnel-out", interface=f"vxlan-default-{other}"),
        step("sent", interface="eth1"),
    )


def arriving(pod: str, other: int) -> tuple[dict[str, Any], ...]:
    """What a packet for a pod meets that comes from the other node."""
    return (
        step("in", interface="eth1"),
        step("tunnel-in", interface=f"vxlan-default-{other}"),
        step("sent", interface=f"afpacket-{pod * 15}"),
    )


OUT, ARRIVING = leaving("a", 2), arriving("c", 1)
ANSWERED = Answer(200, {"probes": [{"answered": True, "outcome": "connected"}]})
SILENT = Answer(200, {"probes": [{"answered": False, "outcome": "no answer"}]})


def tracing(first: Any, second: Any, probe: Any = ANSWERED, **more: Any) -> FakeAgents:
    """Agents that see these packets."""
    vpp = Answer(200, {"dataplane": "vpp", "connected": True, "problem": ""})
    return agents(
        answers={
            (NODE1, "vpp/status"): vpp,
            (NODE2, "vpp/status"): vpp,
            (NODE1, "contiv/v1/trace"): Answer(200, {"trace": "t1"}),
            (NODE2, "contiv/v1/trace"): Answer(200, {"trace": "t2"}),
            (NODE1, "contiv/v1/trace/end"): Answer(200, {"packets": first}),
            (NODE2, "contiv/v1/trace/end"): Answer(200, {"packets": second}),
            (NODE1, "contiv/v1/probe"): probe,
            (NODE1, "contiv/v1/services"): Answer(200, []),
            **more.get("answers", {}),
        }
    )


async def traced(asked: FakeAgents, destination: str = "web-2", **options: Any) -> Report:
    options = {"port": "80/tcp", **options}
    return await trace_view.view(await cluster_of(records(pods=PODS)), asked, "web-1", destination, **options)


async def test_a_packet_is_followed_from_node_to_node():
    reply = {"reply": True, "summary": "TCP SYN ACK", "key": "r"}
    here = [packet(*OUT), packet(*arriving("a", 2), time=2, **reply)]
    asked = tracing(here, [packet(*ARRIVING), packet(*leaving("c", 1), **reply)])
    report = await traced(asked)
    assert report.code is ExitCode.GOOD
    lines = [" ".join(line.split()) for line in text_of(report).splitlines()]
    assert lines[1:] == [
        "TCP SYN node1 in from pod default/web-1",
        "route looked up in podVRF",
        "goes by the tunnel to node2",
        "sent by eth1",
        "node2 in by eth1",
        "came by the tunnel to node1",
        "sent to pod default/web-2",
        "reply TCP SYN ACK node2 in from pod default/web-2",
        "route looked up in podVRF",
        "goes by the tunnel to node1",
        "sent by eth1",
        "node1 in by eth1",
        "came by the tunnel to node2",
        "sent to pod default/web-1",
        "default/web-1 -> default/web-2 80/tcp: connected; no packet was dropped.",
    ]
    [flow] = [body["flow"] for host, path, body in asked.asked if (host, path) == (NODE1, "contiv/v1/trace")]
    assert (flow.source, flow.destination, flow.destination_port) == ("10.1.1.2", "10.1.2.2", 80)
    assert [host for host, path, _ in asked.asked if path == "contiv/v1/trace/end"] == [NODE1, NODE2]


async def test_a_drop_is_a_problem_with_its_node_place_and_reason():
    drop = step("drop", at="ip4-lookup", reason="no route")
    report = await traced(tracing([packet(*OUT)], [packet(ARRIVING[0], drop, reason="no route")], SILENT))
    assert report.code is ExitCode.SOMETHING_WRONG
    assert report.problems == (
        "TCP SYN: dropped on node2: no route (at ip4-lookup)",
        "default/web-1 -> default/web-2 80/tcp: 1 of 1 probes: no answer",
    )


async def test_a_packet_that_the_other_node_never_saw_is_lost_between_them():
    report = await traced(tracing([packet(*OUT)], [], SILENT))
    assert report.problems[0] == "TCP SYN: lost on node1: node1 sent it by eth1, and node2 has not seen it"
    assert "LOST: node1 sent it by eth1" in text_of(report)


async def test_packets_that_look_the_same_are_told_apart_by_their_order():
    report = await traced(tracing([packet(*OUT), packet(*OUT, time=2)], [packet(*ARRIVING)], SILENT))
    assert [len(journey.hops) for journey in report.data.journeys] == [2, 1]


async def test_no_packet_at_all_is_a_problem():
    report = await traced(tracing([], [], SILENT))
    assert "no node saw a packet" in report.problems[-1]


async def test_no_answer_to_udp_is_no_problem():
    report = await traced(tracing([packet(*OUT)], [packet(*ARRIVING)], SILENT), port="53/udp")
    assert report.code is ExitCode.GOOD


FRONTENDS = [
    {
        "address": "10.96.0.7", "protocol": "tcp", "port": 80, "kind": "cluster-ip", "portName": "http",
        "inside": {"backends": [{"address": "10.1.2.2", "port": 8080, "local": False}], "empty": "reject"},
        "outside": None,
    },
    {
        "address": "10.96.0.7", "protocol": "tcp", "port": 443, "kind": "cluster-ip", "portName": "https",
        "inside": {"backends": [], "empty": "reject"}, "outside": None,
    },
    {
        "address": "", "protocol": "tcp", "port": 30080, "kind": "node-port", "portName": "http",
        "inside": {"backends": [], "empty": "reject"}, "outside": None,
    },
]  # fmt: skip
SERVICES = Answer(200, [{"service": "default/db", "programmed": True, "frontends": FRONTENDS, "problems": []}])
HEADLESS = Answer(200, [{"service": "default/db", "programmed": True, "frontends": [], "problems": []}])


def serving(first: Any, second: Any, probe: Any = ANSWERED, services: Answer = SERVICES) -> FakeAgents:
    paths = ("contiv/v1/services", "contiv/v1/services?service=default%2Fdb")
    return tracing(first, second, probe, answers={(NODE1, path): services for path in paths})


FRONTEND, BACKEND, CLIENT = "10.96.0.7:80", "10.1.2.2:8080", "10.1.1.2:61234"
TRANSLATED = step("service", service="default/db", source=CLIENT, target=FRONTEND, translated=BACKEND)


@pytest.mark.parametrize(
    ("destination", "port"),
    [("svc/db", "80/tcp"), ("service/default/db", "http"), ("svc/default/db", "80"), ("10.96.0.7", "80/tcp")],
)
async def test_a_trace_to_a_service_follows_the_packets_to_the_endpoint_that_was_chosen(destination: str, port: str):
    here = [packet(OUT[0], TRANSLATED, *OUT[1:])]
    asked = serving(here, [packet(*ARRIVING)])
    report = await traced(asked, destination, port=port)
    assert report.code is ExitCode.GOOD, report.problems
    assert "service default/db: 10.1.2.2:8080 (pod default/web-2) in place of 10.96.0.7:80" in text_of(report)
    assert (report.data.service, report.data.destination_node) == ("default/db", "node2")
    for node in (NODE1, NODE2):
        [body] = [body for host, path, body in asked.asked if (host, path) == (node, "contiv/v1/trace")]
        assert (body["flow"].destination, body["flow"].destination_port) == ("10.96.0.7", 80)
        assert [(one.destination, one.destination_port) for one in body["others"]] == [("10.1.2.2", 8080)]
        assert body["others"][0].source_port == body["flow"].source_port


async def test_a_packet_to_an_endpoint_that_the_other_node_never_saw_is_lost():
    report = await traced(serving([packet(OUT[0], TRANSLATED, *OUT[1:])], [], SILENT), "svc/db")
    assert report.problems[0] == "TCP SYN: lost on node1: node1 sent it by eth1, and node2 has not seen it"


async def test_a_service_without_endpoints_is_a_problem_that_is_named():
    refused = Answer(200, {"probes": [{"answered": True, "outcome": "refused: nobody listens on the port"}]})
    report = await traced(serving([packet(*OUT)], [], refused), "svc/db", port="https")
    assert report.code is ExitCode.SOMETHING_WRONG
    assert "service default/db has no endpoints at port 443/tcp: connections are refused" in report.problems


@pytest.mark.parametrize(
    ("destination", "port", "said"),
    [
        ("svc/db", None, "--port: the ports of service default/db are 80/tcp, 443/tcp: name one"),
        ("svc/db", "81/tcp", "--port 81/tcp: the ports of service default/db are 80/tcp, 443/tcp"),
        ("10.96.0.7", None, "--port: the ports at 10.96.0.7 are 80/tcp, 443/tcp: name one"),
    ],
)
async def test_which_port_of_a_service_is_meant_must_be_clear(destination: str, port: str | None, said: str):
    with pytest.raises(UsageError) as raised:
        await traced(serving([], []), destination, port=port)
    assert str(raised.value) == said


async def test_a_service_that_is_not_there_or_has_no_address_cannot_be_traced():
    with pytest.raises(UsageError, match="node1 knows no service default/db"):
        await traced(serving([], [], services=Answer(200, [])), "svc/db")
    with pytest.raises(NetctlError, match="headless"):
        await traced(serving([], [], services=HEADLESS), "svc/db")


async def test_a_policy_that_drops_is_the_reason():
    ingress = {
        "at": "acl-plugin-out-ip4-fa",
        "way": "ingress",
        "interface": f"afpacket-{'c' * 15}",
        "rule": "acl 3 rule 0: deny",
    }
    denied = step("policy", **ingress, allowed=False, policy="no rule of NetworkPolicy default/deny allows it")
    drop = step("drop", at="acl-plugin-out-ip4-fa", reason="ACL deny packets")
    there = [packet(*ARRIVING[:2], denied, drop, reason="ACL deny packets")]
    report = await traced(tracing([packet(*OUT)], there, SILENT))
    said = "ingress of pod default/web-2 denied: no rule of NetworkPolicy default/deny allows it"
    assert report.problems[0] == f"TCP SYN: dropped on node2: {said}"
    assert said in text_of(report)


async def test_a_policy_that_lets_pass_is_named_and_what_no_policy_speaks_of_is_not():
    egress = {
        "at": "acl-plugin-in-ip4-fa",
        "way": "egress",
        "interface": f"afpacket-{'a' * 15}",
        "rule": "acl 1 rule 2: permit",
    }
    allowed = step("policy", **egress, policy="rule 1 of NetworkPolicy default/out")
    here = [packet(OUT[0], allowed, step("policy", **egress), *OUT[1:])]
    lines = text_of(await traced(tracing(here, [packet(*ARRIVING)])))
    assert "egress of pod default/web-1 allowed by rule 1 of NetworkPolicy default/out" in lines
    assert lines.count("egress") == 1


async def test_traces_are_ended_when_the_probe_cannot_be_sent():
    asked = tracing([], [], Answer(404, {"Error": "pod default/web-1 is not on node node1"}))
    with pytest.raises(NetctlError, match="not on node"):
        await traced(asked)
    ended = [(host, body) for host, path, body in asked.asked if path == "contiv/v1/trace/end"]
    assert ended == [(NODE1, {"trace": "t1"}), (NODE2, {"trace": "t2"})]


async def test_a_trace_that_began_is_ended_when_the_other_node_is_busy():
    busy = {(NODE2, "contiv/v1/trace"): Answer(409, {"Error": "node2: another flow is being traced here"})}
    asked = tracing([], [], answers=busy)
    with pytest.raises(NetctlError, match="another flow"):
        await traced(asked)
    assert [host for host, path, _ in asked.asked if path == "contiv/v1/trace/end"] == [NODE1]


async def test_a_node_whose_vpp_is_away_is_said_not_to_trace_and_the_probe_is_sent():
    away = Answer(200, {"dataplane": "vpp", "connected": False, "problem": "VPP hangs"})
    asked = tracing([], [], answers={(NODE1, "vpp/status"): away, (NODE2, "vpp/status"): away})
    report = await traced(asked)
    assert report.problems == ("node1: VPP hangs", "node2: VPP hangs")
    assert report.data.probes[0].outcome == "connected"
    assert not [path for _, path, _ in asked.asked if path == "contiv/v1/trace"]


LINUX = dict.fromkeys(((NODE1, "vpp/status"), (NODE2, "vpp/status")), Answer(200, {"dataplane": "linux"}))


async def test_nodes_that_forward_with_the_kernel_trace_with_their_one_tunnel_device():
    here = packet(
        step("in", interface=f"veth2-{'a' * 15}"),
        step("tunnel-out", interface="vxlanBVI", next_hop="192.168.30.2"),
        step("sent", interface="vxlanBVI"),
    )
    there = packet(
        step("tunnel-in", interface="vxlanBVI", next_hop="192.168.30.1"), step("sent", interface=f"veth2-{'c' * 15}")
    )
    report = await traced(tracing([here], [there], answers=LINUX))
    assert report.code is ExitCode.GOOD, report.problems
    assert [" ".join(line.split()) for line in text_of(report).splitlines()][1:-1] == [
        "TCP SYN node1 in from pod default/web-1",
        "goes by the tunnel to node2",
        "sent by vxlanBVI",
        "node2 came by the tunnel to node1",
        "sent to pod default/web-2",
    ]


async def test_a_connection_that_a_service_refuses_and_what_was_not_heard_of_again_have_their_reasons():
    said = {"service": "default/db", "reason": "refused, for it has no endpoints", "target": FRONTEND}
    chain = {"at": "service/refuse"}
    refused = packet(OUT[0], step("service", **chain, **said), step("drop", **chain, reason=said["reason"]))
    reset = packet(
        step("made"), step("sent", interface=f"veth2-{'a' * 15}"), reply=True, summary="TCP RST ACK", key="r"
    )
    report = await traced(tracing([refused, reset], [], answers=LINUX))
    assert report.problems == ("TCP SYN: dropped on node1: service default/db: refused, for it has no endpoints",)
    assert "made by the node itself" in text_of(report)
    lost = {**packet(*OUT), "steps": [OUT[0]], "verdict": "unfinished", "reason": "it was last seen in x"}
    report = await traced(tracing([lost], [], SILENT, answers=LINUX))
    assert report.problems[0] == "TCP SYN: unfinished on node1: it was last seen in x"


async def test_an_address_may_be_traced_that_no_pod_has():
    drop = step("drop", at="ip4-lookup", reason="no route")
    report = await traced(tracing([packet(OUT[0], drop, reason="no route")], [], SILENT), "10.1.9.9", port=None)
    assert "10.1.9.9 icmp" in report.problems[-1]
    assert report.data.destination_node == ""


@pytest.mark.parametrize("port", ["80/sctp", "http", "0/tcp", "70000"])
async def test_a_port_that_is_none_is_a_usage_error(port: str):
    with pytest.raises(UsageError, match="80/tcp"):
        await traced(tracing([], []), port=port)


# ---- status


async def test_status_has_a_line_for_every_vpp_and_none_for_nodes_that_forward_with_the_kernel():
    away = {"dataplane": "vpp", "connected": False, "problem": "VPP hangs", "version": "26.10", "connections": 3}
    answers = {
        (NODE1, "vpp/status"): Answer(200, away),
        (NODE2, "vpp/status"): Answer(200, {"dataplane": "linux"}),
        (HOSTS["node3"], "vpp/status"): Answer(404, {"Error": "an agent that is older"}),
    }
    report = await status_view.view(FakeStore(records()), agents(answers=answers), endpoints=("etcd:2379",))
    [line] = [line.split() for line in text_of(report).splitlines() if "VPP hangs" in line]
    assert line == ["node1", "no", "26.10", "-", "2", "VPP", "hangs"]
    without = await status_view.view(FakeStore(records()), agents(), endpoints=("etcd:2379",))
    assert "VPP-ON" not in text_of(without)

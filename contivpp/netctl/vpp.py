"""`contiv-netctl vppcli NODE COMMAND`: a command to a node's VPP, and its answer as VPP gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from contivpp.netctl.agents import Agents, Answer, refusal
from contivpp.netctl.cluster import Cluster, ClusterNode
from contivpp.netctl.errors import AgentError, NetctlError
from contivpp.netctl.nodes import why_unreachable
from contivpp.netctl.report import Report

REFUSED: Final = 422
_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """What VPP said on a node."""

    node: str
    command: str
    output: str


async def command(cluster: Cluster, agents: Agents, node: str, words: Sequence[str]) -> Report:
    """Has a node's VPP carry out a command.

    Raises:
        UsageError: there is no such node.
        NetctlError: the agent or VPP does not answer, or VPP refuses the command.
    """
    asked = cluster.node(node)
    line = " ".join(words)
    answer = await ask(asked, agents, "vpp/cli", {"command": line}, takes=_SECONDS)
    output = str(answer.get("output") or "")
    return Report(data=CommandAnswer(asked.name, line, output), tables=(), summary=output.rstrip("\n"))


async def ask(node: ClusterNode, agents: Agents, path: str, body: Any, *, takes: float = 0) -> dict[str, Any]:
    """The answer of a node's agent to a request.

    Raises:
        NetctlError: there was none, or it was a refusal; names the node.
    """
    try:
        return checked(await agents.post(node.management, path, body, takes=takes))
    except AgentError as error:
        raise NetctlError(f"{node.name}: {why_unreachable(node, str(error))}") from error


def checked(answer: Answer) -> dict[str, Any]:
    """The body of a good answer.

    Raises:
        AgentError: it is not one; VPP's own words stand alone.
    """
    if answer.status == REFUSED and isinstance(answer.body, dict):
        raise AgentError(f"VPP says: {str(answer.body.get('Error')).strip()}")
    if not answer.ok:
        raise AgentError(refusal(answer))
    if not isinstance(answer.body, dict):
        raise AgentError(f"its answer is not understood: {str(answer.body)[:100]!r}")
    return answer.body

"""Who reaches whom: pings and HTTP requests from every pod and every node to every pod.

The measuring (`measure`) and the judging (`Result`, `kind_of`) are apart, so that a test needs no cluster.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from contivpp.playground.demo.ssh import Ssh

Kind = Literal["pod to pod, same node", "pod to pod, across nodes", "host to pod"]
KINDS: Final[tuple[Kind, ...]] = ("pod to pod, same node", "pod to pod, across nodes", "host to pod")
LINKS: Final = "/var/lib/contiv-playground-kubelet/pods"
_SCRIPT: Final = """
check() {
    run=""; [ "$2" = - ] || run="nsenter --net=$2"
    ping=$($run ping -n -c 1 -W 2 "$4" 2>/dev/null | sed -n 's/.*time=\\([0-9.]*\\) ms.*/\\1/p')
    body=$($run curl -s -m 3 "http://$4:$5/" 2>/dev/null | head -n 1 | tr -d ' ')
    echo "$1 $3 ${ping:--} ${body:--}"
}
"""


@dataclass(frozen=True, slots=True, order=True)
class Pod:
    """A pod that answers with its name; `link` names its network namespace on its node."""

    name: str
    node: str
    address: str
    port: int = 80
    namespace: str = "default"

    @property
    def link(self) -> str:
        """Where the node keeps the way to the pod's network namespace."""
        return f"{LINKS}/{self.namespace}_{self.name}.netns"


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """A node: its name, and the address that ssh reaches it at."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Result:
    """One source and one pod. `milliseconds` is None without an answer to the ping."""

    source: str
    target: Pod
    kind: Kind
    milliseconds: float | None
    answer: str

    @property
    def served(self) -> bool:
        """Whether the right pod answered over HTTP."""
        return self.answer == self.target.name

    @property
    def good(self) -> bool:
        """Whether ping and HTTP both worked."""
        return self.served and self.milliseconds is not None


def kind_of(source: Pod | Host, target: Pod) -> Kind:
    """What a pair is an example of."""
    if isinstance(source, Host):
        return "host to pod"
    return "pod to pod, same node" if source.node == target.node else "pod to pod, across nodes"


def _script(sources: Sequence[Pod | Host], targets: Sequence[Pod]) -> str:
    lines = [_SCRIPT]
    for source in sources:
        netns = source.link if isinstance(source, Pod) else "-"
        for target in targets:
            if source != target:
                words = [source.name, netns, target.name, target.address, str(target.port)]
                lines.append(f"check {shlex.join(words)} &")
    return "\n".join([*lines, "wait", ""])


def parse(output: str, sources: Sequence[Pod | Host], targets: Sequence[Pod]) -> list[Result]:
    """Reads what the script printed on one machine; what it did not print was not reached."""
    found: dict[tuple[str, str], tuple[float | None, str]] = {}
    for line in output.splitlines():
        source, target, ping, answer = line.split(maxsplit=3)
        found[source, target] = (None if ping == "-" else float(ping), answer)
    return [
        Result(source.name, target, kind_of(source, target), *found.get((source.name, target.name), (None, "-")))
        for source in sources
        for target in targets
        if source != target
    ]


async def measure(ssh: Ssh, hosts: Sequence[Host], pods: Sequence[Pod]) -> list[Result]:
    """Asks every pod from everywhere, all machines at once.

    Raises:
        SshError: a machine cannot be reached.
    """

    async def on(host: Host) -> list[Result]:
        sources: list[Pod | Host] = [*(pod for pod in pods if pod.node == host.name), host]
        return parse(await ssh.run(host.address, _script(sources, pods)), sources, pods)

    return [result for results in await asyncio.gather(*map(on, hosts)) for result in results]

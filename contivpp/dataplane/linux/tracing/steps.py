"""A packet's messages as steps: what it met on its way through this node, and how it ended.

What was translated is told by the addresses before and after a hook: only the first packet of a connection meets rules
that translate, and connection tracking does the rest. What nothing was heard of again the kernel dropped without a
word, for want of a route, say, or because of a reverse path check: it stays unfinished, with where it was seen last.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from contivpp.dataplane.linux.nft import policy_names
from contivpp.dataplane.linux.nft.service_values import OWN_PREFIX, REFUSE
from contivpp.dataplane.linux.nft.values import TABLE as OWN_TABLE
from contivpp.dataplane.linux.tracing import filter as marks
from contivpp.dataplane.linux.tracing.headers import Header, parse
from contivpp.dataplane.linux.tracing.messages import TraceMessage
from contivpp.dataplane.linux.tracing.surroundings import Surroundings
from contivpp.model.trace import Kind, Step, TracedPacket, Verdict

TRACKING: Final = "connection tracking"
LOST_MESSAGES: Final = "; the kernel told more than was read in time"
_PREROUTING, _OUTPUT, _INPUT, _POSTROUTING = "prerouting", "output", "input", "postrouting"
_SERVICES: Final = ("service/", OWN_PREFIX)
_GUARD: Final = "service/guard"
_DENIED: Final = "a network policy denies it"
NO_ENDPOINTS: Final = "refused, for it has no endpoints"
_WRONG_SOURCE: Final = "dropped, for this source may not connect to it"
_NOT_HERE: Final = "dropped, for no endpoint of it is on this node"
_ENDS: Final[Mapping[str, Verdict]] = {"sent": "sent", "local": "local", "drop": "dropped"}


@dataclass(slots=True)
class _Story:
    """What is known of a packet at one message.

    Attributes:
        header: as it is there.
        routed: as it was when its way was chosen; None as long as that is not known.
        translator: the chain of ours that has translated since the last header.
    """

    first: TraceMessage
    header: Header
    around: Surroundings
    reply: bool
    routed: Header | None = None
    goes_by: int = 0
    translator: str = ""
    steps: list[Step] = field(default_factory=list)


def told(messages: Sequence[TraceMessage], around: Surroundings, *, missed: bool = False) -> TracedPacket | None:
    """The packet that some messages are about, in order; None when its headers were cut off.

    Args:
        messages: the first is that of a chain that marks.
        around: what numbers stand for.
        missed: whether messages were lost.
    """
    first = messages[0]
    header = parse(first.network, first.transport)
    if header is None:
        return None
    story = _Story(first, header, around, reply=first.chain == marks.BACK, goes_by=first.goes_by)
    story.steps.append(_arrival(first, header, around))
    for message in messages[1:]:
        story.steps += _steps(message, story)
    places = (_at(message) for message in messages if message.table != marks.TABLE)
    path = (story.steps[0].at, *(place for place, _ in itertools.groupby(places)))
    verdict = _ENDS.get(story.steps[-1].kind, "unfinished")
    reason = story.steps[-1].reason
    if verdict == "unfinished":
        reason = _seen_last(story, path) + (LOST_MESSAGES if missed else "")
    return TracedPacket(
        time=first.time,
        reply=story.reply,
        summary=header.summary,
        key=header.key,
        steps=tuple(story.steps),
        verdict=verdict,
        reason=reason,
        path=path,
        text="\n".join(map(str, messages)),
    )


def _arrival(first: TraceMessage, header: Header, around: Surroundings) -> Step:
    if not first.came_by:
        return Step("made", _OUTPUT)
    interface = around.link(first.came_by)
    if first.came_by in around.tunnels:
        sender = around.sender(first.came_by, first.link, header.source)
        return Step("tunnel-in", _PREROUTING, interface=interface, next_hop=sender)
    return Step("in", _PREROUTING, interface=interface)


def _steps(message: TraceMessage, story: _Story) -> Iterator[Step]:
    header = parse(message.network, message.transport)
    if header is not None:
        yield from _translated(header, story)
        story.header = header
        if message.goes_by:
            story.routed = story.routed or header
            story.goes_by = message.goes_by
    if message.table == marks.TABLE:
        if message.kind == "policy" and message.chain == marks.SENT:
            yield from _departure(story)
        elif message.kind == "policy" and message.chain == marks.TAKEN:
            yield Step("local", _INPUT)
        return
    own = _own(message)
    if own and message.chain.startswith(_SERVICES) and message.verdict == "accept":
        story.translator = message.chain
    if own and message.kind == "rule" and (way := policy_names.way_of(message.chain)):
        yield from _judged(message, way, story)
    elif message.verdict == "drop":
        yield from _dropped(message, story)


def _translated(now: Header, story: _Story) -> Iterator[Step]:
    """What became of the addresses: another target is a service's doing, and another source in a reply."""
    before, by = story.header, story.translator or TRACKING
    story.translator = ""
    changes: tuple[tuple[bool, str, Kind], ...] = (
        (now.target != before.target, now.target, "source" if story.reply else "service"),
        (now.sender != before.sender, now.sender, "service" if story.reply else "source"),
    )
    for changed, translated, kind in changes:
        if changed:
            yield Step(kind, by, source=before.sender, target=before.target, translated=translated)


def _judged(message: TraceMessage, way: policy_names.Way, story: _Story) -> Iterator[Step]:
    """What the rule of a pod's chain said: replies are judged by what they answer."""
    if message.verdict not in ("return", "drop"):
        return
    allowed, header = message.verdict == "return", story.header
    source, target = (header.target, header.sender) if story.reply else (header.sender, header.target)
    known = allowed and story.reply
    rule = "" if known else f"{message.chain}: {story.around.rule(message)}"
    yield Step("policy", message.chain, rule=rule, allowed=allowed, way=way, source=source, target=target)
    if not allowed:
        yield Step("drop", message.chain, reason=_DENIED)


def _dropped(message: TraceMessage, story: _Story) -> Iterator[Step]:
    reason = story.around.rule(message)
    if _own(message) and message.chain.startswith(_SERVICES):
        reason = _NOT_HERE
        if message.chain == REFUSE:
            reason = NO_ENDPOINTS
        elif message.chain.startswith(_GUARD):
            reason = _WRONG_SOURCE
        header = story.header
        yield Step("service", message.chain, reason=reason, source=header.sender, target=header.target)
    yield Step("drop", _at(message), reason=reason)


def _departure(story: _Story) -> Iterator[Step]:
    routed, interface = story.routed or story.header, story.around.link(story.goes_by)
    way = story.around.way(routed.source, routed.destination, story.first.came_by)
    next_hop = way.next_hop if way.link == story.goes_by else ""
    if story.goes_by in story.around.tunnels:
        yield Step("tunnel-out", _POSTROUTING, interface=interface, next_hop=next_hop)
    elif next_hop:
        yield Step("out", _POSTROUTING, interface=interface, next_hop=next_hop)
    yield Step("sent", _POSTROUTING, interface=interface)


def _seen_last(story: _Story, path: Sequence[str]) -> str:
    """Where a packet was when it was heard of last, and what may have become of it."""
    where = f"it was last seen in {path[-1]}"
    if story.goes_by:
        return f"{where}, on its way to {story.around.link(story.goes_by)}"
    problem = story.around.way(story.header.source, story.header.destination, story.first.came_by).problem
    return f"{where}, where it came in: {problem or 'the kernel dropped it without a word'}"


def _own(message: TraceMessage) -> bool:
    return f"{message.family} {message.table}" == OWN_TABLE


def _at(message: TraceMessage) -> str:
    """The chain; with its table, when that is not ours."""
    return message.chain if _own(message) else message.place

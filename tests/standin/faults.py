"""What goes wrong in the stand-in, on demand: for a message by name, from its n-th arrival on, so many times."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

ANY = "*"
"""Any message but those that open a connection and ask whether VPP is alive."""
_NEVER = frozenset(
    {"sockclnt_create", "get_api_json", "control_ping", "show_version", "cli_inband", "memclnt_keepalive_reply"}
)


class Kind(StrEnum):
    """What happens."""

    FAIL = "fail"
    DELAY = "delay"
    HANG = "hang"
    DIE = "die"
    GARBAGE = "garbage"


@dataclass
class Fault:
    """One thing that goes wrong.

    Attributes:
        nth: with which arrival of the message it starts; 1 is the next one.
        times: how often.
        retval: of a failure.
        seconds: of a delay.
        done: whether the request is carried out although the answer is an error, or none; some are never with an error.
    """

    kind: Kind
    message: str = ANY
    nth: int = 1
    times: int = 1
    retval: int = -1
    seconds: float = 0.0
    done: bool = False


@dataclass
class Faults:
    """All that is to go wrong; the first that fits a message counts."""

    planned: list[Fault] = field(default_factory=list)

    def fail(self, message: str = ANY, *, retval: int = -1, nth: int = 1, times: int = 1, done: bool = False) -> None:
        """Answers with an error."""
        self.planned.append(Fault(Kind.FAIL, message, nth, times, retval=retval, done=done))

    def delay(self, message: str = ANY, *, seconds: float, nth: int = 1, times: int = 1) -> None:
        """Answers late, and so everything that comes after."""
        self.planned.append(Fault(Kind.DELAY, message, nth, times, seconds=seconds))

    def hang(self, message: str = ANY, *, nth: int = 1, done: bool = False) -> None:
        """Answers no more, until it is thawed."""
        self.planned.append(Fault(Kind.HANG, message, nth, done=done))

    def die(self, message: str = ANY, *, nth: int = 1, done: bool = False) -> None:
        """Goes away, and forgets everything."""
        self.planned.append(Fault(Kind.DIE, message, nth, done=done))

    def garbage(self, message: str = ANY, *, nth: int = 1) -> None:
        """Answers with what is no message."""
        self.planned.append(Fault(Kind.GARBAGE, message, nth))

    def clear(self) -> None:
        """All works again."""
        self.planned.clear()

    def take(self, message: str) -> Fault | None:
        """What happens to a message that arrives now."""
        hit = None
        for fault in list(self.planned):
            if fault.message != message and (fault.message != ANY or message in _NEVER):
                continue
            fault.nth -= 1
            if fault.nth > 0 or hit is not None:
                continue
            hit = fault
            fault.times -= 1
            if fault.times <= 0:
                self.planned.remove(fault)
        return hit

"""How the stand-in learns what to do with a message: one small file per family, in `families`.

A handler gets the state and the request. What it returns is the fields of the reply, or for a dump the fields of
each detail; it raises `Refused` with VPP's own name of an error. `listed` makes a whole family of what is only added,
deleted and listed.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from contivpp.dataplane.vpp.api.errors import error_name
from tests.standin.state import State

Handler = Callable[[State, Any], Any]
NUMBERS = {error_name(number): number for number in range(-200, 0)}
HANDLERS: dict[str, Handler] = {}
USING: list[Callable[[State], Iterable[tuple[int, int]]]] = []
FORGETTING: list[Callable[[State, int], None]] = []


class Refused(Exception):
    """VPP says no, with the name of an error."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.retval = NUMBERS[name]


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Marks the handler of messages."""

    def note(handler: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = handler
        return handler

    return note


def uses(function: Callable[[State], Iterable[tuple[int, int]]]) -> Callable[[State], Iterable[tuple[int, int]]]:
    """Marks what says which tables a family uses: these stay though somebody deletes them."""
    USING.append(function)
    return function


def forgets(function: Callable[[State, int], None]) -> Callable[[State, int], None]:
    """Marks what a family does when an interface goes."""
    FORGETTING.append(function)
    return function


def listed(
    change: str,
    dump: str,
    *,
    key: Callable[[Any], Any],
    details: Callable[[Any], Mapping[str, Any]],
    adds: Callable[[Any], bool] = lambda request: bool(request.is_add),
    absent: str = "NO_SUCH_ENTRY",
    present: str = "",
    valid: Callable[[State, Any], None] = lambda state, request: None,
    wanted: Callable[[Any, Any], bool] = lambda request, thing: True,
) -> None:
    """A kind of thing that is added, taken away and listed, and nothing else.

    Args:
        change: the message that adds or takes away.
        dump: the one that lists.
        key: of a request, what makes two of them speak of one thing.
        details: of a request, the fields of what the dump lists for it.
        adds: of a request, whether it adds.
        absent: the error for taking away what is not there.
        present: the error for adding what is there; "" replaces it.
        valid: raises `Refused` for a request that VPP would not take.
        wanted: of a dump and a request that added something, whether that is listed.
    """

    def change_it(state: State, request: Any) -> None:
        things = state.things(change)
        if adds(request):
            valid(state, request)
            if present and key(request) in things:
                raise Refused(present)
            things[key(request)] = request
        elif things.pop(key(request), None) is None:
            raise Refused(absent)

    def list_it(state: State, request: Any) -> Iterable[Mapping[str, Any]]:
        return [details(thing) for thing in state.things(change).values() if wanted(request, thing)]

    HANDLERS[change] = change_it
    HANDLERS[dump] = list_it


def learn() -> dict[str, Handler]:
    """All handlers of all families."""
    families = importlib.import_module("tests.standin.families")
    for module in pkgutil.iter_modules(families.__path__):
        importlib.import_module(f"tests.standin.families.{module.name}")
    return HANDLERS

"""How the program ends: exit codes for scripts, and the errors that lead to them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script can tell from the end of a command."""

    GOOD = 0
    SOMETHING_WRONG = 1
    USAGE = 2
    NO_STORE = 3
    CHANGES = 4
    NOT_WANTED = 5
    INTERRUPTED = 130


class NetctlError(Exception):
    """A command cannot give an answer; the message says what to do."""

    code = ExitCode.SOMETHING_WRONG


class UsageError(NetctlError):
    """What was asked for does not exist, or a configuration file cannot be used."""

    code = ExitCode.USAGE


class StoreError(NetctlError):
    """etcd cannot be read, so nothing is known of the cluster."""

    code = ExitCode.NO_STORE


class NotWantedError(NetctlError):
    """A question was answered with no, or there was nobody to ask."""

    code = ExitCode.NOT_WANTED


class AgentError(Exception):
    """An agent gave no usable answer; the text is the reason, for one row of a table."""

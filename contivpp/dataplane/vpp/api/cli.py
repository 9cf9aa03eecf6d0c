"""Commands to VPP as its own command line takes them.

VPP carries out a command between its other work, in the thread that answers the API: while a long one runs nothing else
is answered, and one that takes longer than a connection waits for any answer looks like a VPP that hangs.
"""

from __future__ import annotations

from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.api.errors import VppError, VppRefused


class CommandError(VppError):
    """VPP does not know a command, or could not carry it out; in VPP's words."""


async def run(connection: Connection, command: str) -> str:
    """What VPP says to a command, whatever the length.

    Raises:
        CommandError: it refused it.
        VppDown: it went away meanwhile, or hangs.
    """
    try:
        answer = await connection.call("cli_inband", cmd=command)
    except VppRefused as error:
        said = str(getattr(error.reply, "reply", "")).strip()
        raise CommandError(said or str(error)) from error
    return str(answer.reply)

"""What ends a command early, and with which exit code."""

from __future__ import annotations

FAILED = 1
WRONG_USE = 2


class CommandFailed(Exception):
    """The command was understood and could not be done: exit 1. The message says what was expected, what was found and
    what to do."""

    code = FAILED


class WrongUse(CommandFailed):
    """The command is wrong (an option, a file, a name): exit 2."""

    code = WRONG_USE

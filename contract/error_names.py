"""The names of errors that a ledger may hold.

A ledger keeps an error's name for ever, so no author, and no model that makes up classes, may choose a name. A name
that is not in the table becomes OTHER_ERROR: at the node, which speaks for a model, and again at the scheduler's door,
which believes no node.
"""

from __future__ import annotations

import builtins
import re

OTHER_ERROR = "OtherError"

PHRASES = frozenset(
    {"InvalidInputs", "InputsUnreadable", "PayloadMissing", "BadValues", "ValuesBreakSchema", "BadFrame", "ScratchFull"}
    | {"TimeOut", "LoadTimeOut", "GangTimeOut", "OutputNotAFile", "OutputMissing", "OutputChanged", "OutputNameInvalid"}
    | {"TooManyOutputs", "OutputsTooLarge", "ValidationTimeOut", "ValidationDied", "Abandoned", "RegistryError"}
)
"""What we call a failure that is no exception of a library."""

_DEATH = re.compile(r"(?:Signal|Exit)[0-9]{1,3}")
"""How a process ended: Signal9, Exit3."""

ERROR_NAMES = frozenset(
    {name for name, thing in vars(builtins).items() if isinstance(thing, type) and issubclass(thing, BaseException)}
    | PHRASES
    | {OTHER_ERROR}
    | {"OutOfMemoryError", "AcceleratorError", "LinAlgError", "SafetensorError"}
    | {"DistError", "DistBackendError", "DistNetworkError", "DistStoreError", "ProcessRaisedException"}
    | {"CalledProcessError", "JSONDecodeError", "TimeoutExpired", "UnidentifiedImageError"}
)
"""Python's own exceptions, ours, torch's, and some that many models meet."""


def error_name(name: str) -> str:
    """The name, if the table has it or it says how a process ended, else OTHER_ERROR. An empty name stays empty."""
    return name if not name or name in ERROR_NAMES or _DEATH.fullmatch(name) else OTHER_ERROR

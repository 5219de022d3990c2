"""Whether a model's values are what its output schema says: a program of its own, because both come from outside.

`python -m gpu_worker.io.checker FD` talks to the agent over the socket FD. The checker says READY. A question is two
lengths of 4 bytes, big-endian, then a schema and values, both JSON. The answer is such a length, a byte for the kind of
fault, and a sentence. A check holds the interpreter's lock until the check ends, so a thread of the agent cannot do it;
this process may be killed in the middle of a check. It has no credentials, and it ends when the agent ends.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from contract.codec import Malformed, decode_values
from registry.schemas import SchemaRefused, Validator
from runtime.private_memory import keep_memory_private

READY = b"r"
LENGTH_BYTES = 4

SENTENCE_CHARACTERS_MAX = 2_000

PART_BYTES_MAX = 16 * 1024 * 1024
"""The largest schema, and the largest values, that are checked."""

CHECK_S = 10.0
"""How long one check may take."""

ALARM_S = 20
"""A check that takes this long ends the process: the agent, which would have ended the process before, is gone."""

MEMORY_BYTES_MAX = 2 * 1024**3
"""Address space. A check that wants more fails, and takes nothing from the node."""

SCHEMAS_KEPT = 64

FITS, BAD_VALUES, BAD_OUTPUTS = b"f", b"v", b"o"
KINDS = {BAD_VALUES: "bad_values", BAD_OUTPUTS: "bad_outputs"}
"""Kinds of contract.inputs.FAILURE_KINDS. bad_values: no part behind the pipe can hold the values. bad_outputs: the
values break their schema."""


class OutputFault(NamedTuple):
    """Why values are refused."""

    kind: bytes
    """One of KINDS."""
    sentence: str
    """The sentence may quote the values."""


def main(arguments: list[str]) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    keep_memory_private()
    with socket.socket(fileno=int(arguments[0])) as agent, agent.makefile("rb") as asked:
        agent.sendall(READY)
        while len(lengths := asked.read(2 * LENGTH_BYTES)) == 2 * LENGTH_BYTES:
            schema = asked.read(int.from_bytes(lengths[:LENGTH_BYTES], "big"))
            values = asked.read(int.from_bytes(lengths[LENGTH_BYTES:], "big"))
            signal.alarm(ALARM_S)
            kind, sentence = fault(schema, values) or (FITS, "")
            signal.alarm(0)
            answer = kind + sentence[:SENTENCE_CHARACTERS_MAX].encode("utf-8", "replace")
            agent.sendall(len(answer).to_bytes(LENGTH_BYTES, "big") + answer)
    return 0


def fault(schema: bytes, values: bytes) -> OutputFault | None:
    """Why the values cannot be held, or do not fit the schema; None when they fit."""
    try:
        decoded = decoded_object(values)
    except Malformed as error:
        return OutputFault(BAD_VALUES, str(error))
    try:
        sentence = _validator(schema)(decoded)
    except SchemaRefused as refused:
        sentence = f"expected an output schema that can be applied, found one that is refused since: {refused}"
    except MemoryError:
        raise
    except Exception as error:  # whatever is wrong with a schema that publishing took: no values fit the schema
        sentence = f"expected an output schema that can be applied, found one that cannot: {type(error).__name__}"
    return OutputFault(BAD_OUTPUTS, sentence) if sentence else None


def decoded_object(values: bytes) -> dict[str, Any]:
    """The values. Malformed unless a JSON object that every part behind the pipe can hold (contract.bounds)."""
    decoded = decode_values(values, "values")
    if not isinstance(decoded, dict):
        raise Malformed("values: expected a JSON object, found another value")
    return decoded


@lru_cache(maxsize=SCHEMAS_KEPT)
def _validator(schema: bytes) -> Callable[[Any], str]:
    """A function that says why a value breaks the schema. SchemaRefused when publishing does not take the schema."""
    fault_of = Validator(msgspec.json.decode(schema, type=dict[str, Any])).fault

    def sentence(value: Any) -> str:
        fault = fault_of(value)
        return fault.sentence("values") if fault is not None else ""

    return sentence


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

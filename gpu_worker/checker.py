"""Whether a model's values are what its output schema says: a program of its own, because both come from outside.

`python -m gpu_worker.checker FD` talks to the agent over the socket FD. It says READY; then it is asked by two
lengths of 4 bytes, big-endian, a schema and values, both JSON, and answers with such a length and a sentence, which is
empty when they fit. A check holds the interpreter's lock for as long as it takes, so it cannot be done in a thread of
the agent; and this process may be killed in the middle of one. It has no credentials, and it ends when the agent does.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from contract.codec import Malformed, decode_values
from registry.schemas import SchemaRefused, Validator

READY = b"r"
LENGTH_BYTES = 4

SENTENCE_CHARACTERS_MAX = 2_000

PART_BYTES_MAX = 16 * 1024 * 1024
"""The most that a schema, or values, may take."""

CHECK_S = 10.0
"""How long one check may take."""

ALARM_S = 20
"""After so long in one check this process ends itself: the agent, who would end it before, is gone."""

MEMORY_BYTES_MAX = 2 * 1024**3
"""Address space: a check that wants more fails, and takes nothing from the node."""

SCHEMAS_KEPT = 64


def main(arguments: list[str]) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=int(arguments[0])) as agent, agent.makefile("rb") as asked:
        agent.sendall(READY)
        while len(lengths := asked.read(2 * LENGTH_BYTES)) == 2 * LENGTH_BYTES:
            schema = asked.read(int.from_bytes(lengths[:LENGTH_BYTES], "big"))
            values = asked.read(int.from_bytes(lengths[LENGTH_BYTES:], "big"))
            signal.alarm(ALARM_S)
            sentence = fault(schema, values)[:SENTENCE_CHARACTERS_MAX].encode("utf-8", "replace")
            signal.alarm(0)
            agent.sendall(len(sentence).to_bytes(LENGTH_BYTES, "big") + sentence)
    return 0


def fault(schema: bytes, values: bytes) -> str:
    """Why the values do not fit the schema, in a sentence that may quote them; empty when they do."""
    try:
        return _validator(schema)(decode_values(values, "values"))
    except Malformed as error:
        return str(error)
    except SchemaRefused as refused:
        return f"expected an output schema that can be applied, found one that is refused since: {refused}"
    except MemoryError:
        raise
    except Exception as error:  # whatever is wrong with a schema that publishing took: nothing fits it
        return f"expected an output schema that can be applied, found one that cannot: {type(error).__name__}"


@lru_cache(maxsize=SCHEMAS_KEPT)
def _validator(schema: bytes) -> Callable[[Any], str]:
    """SchemaRefused when it is one that publishing does not take."""
    fault_of = Validator(msgspec.json.decode(schema, type=dict[str, Any])).fault

    def sentence(value: Any) -> str:
        fault = fault_of(value)
        return fault.sentence("values") if fault is not None else ""

    return sentence


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Whether a model's values are what its output schema says: a program of its own, because both come from outside.

`python -m gpu_worker.checker FD` talks to the agent over the socket FD. It says READY; then it is asked by two
lengths of 4 bytes, big-endian, a schema and values, both JSON, and answers FITS or BREAKS. A check holds the
interpreter's lock for as long as it takes, so it cannot be done in a thread of the agent; and this process may be
killed in the middle of one. It has no credentials, and it ends when the agent does.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys
from functools import lru_cache
from typing import Any

import msgspec
import referencing
from jsonschema.validators import validator_for

from contract.codec import Malformed, decode_values

READY, FITS, BREAKS = b"r", b"1", b"0"

LENGTHS_BYTES = 8
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
        while len(lengths := asked.read(LENGTHS_BYTES)) == LENGTHS_BYTES:
            schema = asked.read(int.from_bytes(lengths[:4], "big"))
            values = asked.read(int.from_bytes(lengths[4:], "big"))
            signal.alarm(ALARM_S)
            answer = FITS if fits(schema, values) else BREAKS
            signal.alarm(0)
            agent.sendall(answer)
    return 0


def fits(schema: bytes, values: bytes) -> bool:
    """Whether the values are valid; not when the schema cannot be applied."""
    try:
        return bool(_validator(schema).is_valid(decode_values(values, "values")))
    except Malformed:
        return False
    except MemoryError:
        raise
    except Exception:  # whatever is wrong with a schema that publishing took: nothing fits it
        return False


@lru_cache(maxsize=SCHEMAS_KEPT)
def _validator(schema: bytes) -> Any:
    """Retrieves nothing: a reference that leads out of the schema cannot be resolved."""
    decoded = msgspec.json.decode(schema)
    return validator_for(decoded)(decoded, registry=referencing.Registry())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

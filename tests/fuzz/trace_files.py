"""The door of traces."""

from __future__ import annotations

from random import Random

from tests.fuzz.door import Door
from tests.fuzz.texts import a_file, text_changed
from whatif import traces

TRACES = (
    "arrival,tier,tenant,model,service_seconds\n0,free,acme,small,1.5\n0.5,api,zeta,large,20\n12,free,acme,small,3\n",
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04,3180,8\n",
    "timestamp_ms,input_length,output_length,hash_ids\n0,6758,500,[]\n3000,7322,490,[1]\n",
    '{"timestamp": 0, "input_length": 2701, "output_length": 292}\n'
    '{"timestamp": 3000, "input_length": 1533, "output_length": 131}\n',
)
TRACE_PIECES = (
    *(
        "0",
        "-1",
        "1e9",
        "1e999",
        "9" * 5_000,
        "nan",
        "",
        '"',
        '""',
        "a,b",
        ",",
        "\0",
        "\r",
        "2023-99-99",
        "9999-12-31T23:59:59",
    ),
    *("é", "x" * 200_000, "0001-01-01", "2023-11-16T18:17:03+23:59", "1.5e300", "٣", "10:00"),
)


def trace(chance: Random) -> bytes:
    return text_changed(chance, chance.choice(TRACES).replace(",", ", "), TRACE_PIECES)


def feed_trace(raw: bytes) -> bool:
    with a_file(raw, "trace.csv") as path:
        made = traces.read(path)
        again = path.with_name("again.csv")
        with again.open("w", newline="") as file:
            traces.write(made, file)
        read = traces.read(again)
    assert len(read) == len(made)
    assert list(read.service_ms) == list(made.service_ms)
    return True


DOORS = (Door("a trace", trace, feed_trace, ("whatif.traces.read",), (traces.TraceUnreadable,)),)

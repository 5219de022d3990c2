"""What the door for values refuses and takes, case by case. (tests/fuzz offers it anything.)"""

from __future__ import annotations

import json

import msgspec
import pytest

from contract.codec import Malformed, decode_batch, decode_values, encode
from contract.inputs import Requirements
from tests.unit.scheduling.specification import Pool


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"n":1e999}', "number"),
        (b'{"n":' + b"9" * 5_000 + b"}", "number"),
        (b'{"n":18446744073709551616}', "whole numbers from -9223372036854775808 to 18446744073709551615"),
        (b'{"p":"\xc3\x28"}', "UTF-8"),
        (b'{"p":"\\ud83d"}', "half a surrogate pair"),
        (b'{"p":"half \\udce9 way"}', "half a surrogate pair"),
        (b'{"p":"\\u0000"}', "NUL"),
        (b'{"\\u0000":1}', "NUL"),
        (b"[" * 65 + b"]" * 65, "64 deep"),
        (b"[" * 50_000, "deep"),
        (b'{"a":' * 250 + b"1" + b"}" * 250, "64 deep"),
        (b'{"n":NaN}', "JSON"),
        (b"", "JSON"),
    ],
)
def test_what_no_part_behind_a_door_could_hold_is_refused(raw: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        decode_values(raw, "inputs")


@pytest.mark.parametrize("raw", [b"[" * 64 + b"]" * 64, b'{"seed":18446744073709551615}', b'"\\ud83d\\ude00"', b"-0.0"])
def test_what_is_within_bounds_is_taken(raw: bytes) -> None:
    assert decode_values(raw, "inputs") == json.loads(raw)


def test_old_records_that_no_door_takes_any_more_are_still_read() -> None:
    """The bounds belong to the doors. If they stood in the types, a ledger that holds such a number would be called
    damaged."""
    batch = Pool().records[-1].replace(b'"tiers":{', b'"tiers":{"old":{"slo_ms":%d,"weight":0},' % 2**70)
    assert encode(decode_batch(batch)) == batch
    assert msgspec.json.decode(b'{"chipsets":[],"gpus":%d}' % 10**30, type=Requirements).gpus == 10**30

"""Every door of the contract takes what comes, or refuses with a sentence, and does nothing else. What is taken goes
through everything that stands behind the door."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import bounds
from contract.codec import Malformed, body_of, decode_batch, decode_input, decode_submission, decode_values, encode
from contract.inputs import NodeJoined, Requirements
from tests.properties.contract.broken_bytes import PIECES, broken
from tests.properties.contract.records import wire
from tests.properties.weighted import weighted
from tests.unit.scheduling.specification import Pool

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(bounds.VALUE_LEAST, bounds.VALUE_MOST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def written(value: Any) -> bytes:
    """JSON as a careless program writes it: half a surrogate pair stays half a pair."""
    return json.dumps(value).encode()


ODD = st.sampled_from(("\ud83d", "half \udce9 way", "a\0b", 2**70, -(2**70), {"\0": 1})).map(written)
RAW = JSON.map(written)
ANY = weighted((5, RAW), (1, ODD), (1, st.binary(max_size=40)), (1, st.lists(PIECES, max_size=8).map(b"".join)))


SEVERAL = settings(max_examples=200, derandomize=True)
"""The same examples every time, because how many of them are taken is part of the claim."""


class Door:
    """A door, and how often it took and refused what came."""

    def __init__(self, decode: Callable[[bytes], Any]) -> None:
        self._decode = decode
        self.seen: Counter[str] = Counter()

    def offer(self, raw: bytes) -> Any:
        """What the door takes; None when it refused."""
        try:
            taken = self._decode(raw)
        except Malformed as malformed:
            refusal = str(malformed)
        else:
            self.seen["taken"] += 1
            return taken
        self.seen["refused"] += 1
        assert refusal.startswith(("expected ", "inputs: ", "a record of `jobs`: ", "a submission: "))
        assert refusal.isprintable()
        assert len(refusal) < 300
        return None

    def assert_a_third_is_taken(self) -> None:
        assert 3 * self.seen["taken"] >= self.seen.total() > 90, self.seen


def test_values_of_users_and_models() -> None:
    door = Door(lambda raw: (decode_values(raw, "inputs"), raw)[1])

    @SEVERAL
    @given(broken(ANY))
    def offered(raw: bytes) -> None:
        taken = door.offer(raw)
        if taken is not None:
            again = json.loads(taken)  # as a child and any client read it
            assert "\0" not in json.dumps(again, ensure_ascii=False)
            json.dumps(again, ensure_ascii=False, allow_nan=False).encode()

    offered()
    door.assert_a_third_is_taken()


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


def test_submissions() -> None:
    door = Door(lambda raw: decode_submission(raw)[0])
    good = st.builds(
        lambda inputs, expires, tenant: (
            b'{"type":"SubmissionRequested.v1","tenant":%s,"tier":"free","model":"m","inputs":%s,"expires_ms":%d}'
            % (written(tenant), inputs, expires)
        ),
        weighted((3, RAW), (1, ANY)),
        st.sampled_from((0,) * 9 + (1, bounds.TIME_MS_MAX, bounds.TIME_MS_MAX + 1, -1, 2**63)),
        st.sampled_from(("acme",) * 9 + ("a" * 2_000, "\ud83d", "\0")),
    )

    @SEVERAL
    @given(broken(good))
    def offered(raw: bytes) -> None:
        taken = door.offer(raw)
        if taken is not None:
            decode_values(bytes(taken.inputs), "inputs")
            assert 0 <= taken.expires_ms < 2**63
            assert len(encode(taken)) < len(raw) + 200

    offered()
    door.assert_a_third_is_taken()


def test_records_of_jobs_and_all_that_the_scheduler_does_with_them() -> None:
    door = Door(decode_input)

    @SEVERAL
    @given(st.lists(broken(wire().map(encode)), min_size=1, max_size=12))
    def offered(values: list[bytes]) -> None:
        pool = Pool()
        for number in range(2):
            pool.publish(f"model{number}")
        pool.tell(NodeJoined("n1", "s0", "east", "cpu", 2, 0, 4_096))
        for raw in values:
            taken = door.offer(raw)
            if taken is not None:
                pool.tell(body_of(taken), after_ms=700)
        for record in pool.records:
            assert encode(decode_batch(record)) == record

    offered()
    door.assert_a_third_is_taken()


def test_old_records_that_no_door_takes_any_more_are_still_read() -> None:
    """The bounds belong to the doors. If they stood in the types, a ledger that holds such a number would be called
    damaged."""
    batch = Pool().records[-1].replace(b'"tiers":{', b'"tiers":{"old":{"slo_ms":%d,"weight":0},' % 2**70)
    assert encode(decode_batch(batch)) == batch
    assert msgspec.json.decode(b'{"chipsets":[],"gpus":%d}' % 10**30, type=Requirements).gpus == 10**30

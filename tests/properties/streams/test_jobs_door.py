"""Any record of `jobs` is taken, or set aside once with a sentence, and the pool goes on. A whole pool host runs
here."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.codec import encode
from contract.events import InputQuarantined, Opened
from contract.inputs import Submission
from runtime.kafka import Record
from streams.door import jobs_door
from tests.properties.contract.broken_bytes import broken
from tests.properties.contract.records import wire
from tests.properties.weighted import weighted
from tests.unit.streams.led_pools import keeper_of, setup, submitted
from tests.unit.streams.memory_pool import MemoryBroker, run
from tests.waiting import until_async

VALUES = weighted(
    (4, st.integers(0, 20).map(lambda number: encode(submitted(number)))),
    (4, broken(wire().map(encode))),
    (1, st.binary(max_size=30)),
    (1, st.sampled_from((b"", b"null", b"{}", b'{"type":"Unreadable.v1","reason":"x"}', b"[" * 50_000))),
)
KEYS = st.sampled_from((b"key",) * 9 + (None, b"", b"\xff", b"a\0b", b"k" * 5_000, "ü".encode()))
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(("traceparent", "ce_id", "x\ud83d")),
        st.none() | st.binary(max_size=60) | st.just(b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),
    ),
    max_size=3,
)

RECORDS = st.tuples(weighted((9, VALUES), (1, st.none())), KEYS, HEADERS)


def test_whatever_comes_a_pool_takes_it_or_sets_it_aside_and_goes_on() -> None:
    seen: Counter[str] = Counter()

    async def live(records: list[tuple[bytes | None, bytes | None, list[Any]]]) -> None:
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        read = []
        for value, key, headers in records:
            offset = broker.say_bytes(value, key=key, headers=headers)
            if value is not None:
                read.append(jobs_door.read(Record("jobs", 0, offset, 0, key, value, headers)))
        end = broker.say(submitted(99)) + 1
        await until_async(lambda: broker.batches()[-1:] and broker.batches()[-1].position == end, "all is read")
        refused = [one.given.offset for one in read if one.refusal]
        set_aside = [offset for _, offset, _ in broker.quarantined]
        stale = [event.offset for event in broker.events(InputQuarantined) if event.job]
        assert sorted(set_aside) == sorted(refused + stale)
        assert all(reason.isprintable() and len(reason) < 300 for _, _, reason in broker.quarantined)
        assert len(broker.events(Opened)) == 1, "the pool never ended"
        for batch in broker.batches():
            for one in batch.inputs:
                if isinstance(one.body, Submission):
                    assert one.key.encode() == broker[0].jobs[one.offset].key, "an erasure finds the record"
                    assert "\0" not in one.key
        seen.update("refused" if one.refusal else "taken" for one in read)
        await keeper.close(with_snapshot=False)

    @settings(max_examples=100, derandomize=True)
    @given(st.lists(RECORDS, min_size=1, max_size=8))
    def offered(records: list[tuple[bytes | None, bytes | None, list[Any]]]) -> None:
        run(lambda: live(records))

    offered()
    assert 3 * seen["taken"] >= seen.total() > 200, seen

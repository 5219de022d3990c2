"""`jobs` as the whole host of a pool reads it: a record is taken, or set aside with a sentence, and all goes on."""

from __future__ import annotations

import asyncio
from random import Random

from contract.codec import encode
from contract.events import InputQuarantined, Opened
from contract.inputs import Submission
from runtime.kafka import Record
from streams.door import jobs_door
from streams.door.signatures import Signatures
from tests.fuzz.door import Door
from tests.fuzz.mutations import several
from tests.fuzz.topics import JobsLine, jobs_line
from tests.unit.streams.led_pools import keeper_of, setup, submitted
from tests.unit.streams.memory_pool import MemoryBroker
from tests.waiting import until_async

UNASKED = Signatures(None, 0)
"""Nobody need sign."""


def line(chance: Random) -> JobsLine:
    """A job of the pool's own model as often as anything else; now and then a tombstone."""
    if chance.random() < 0.4:
        return encode(submitted(chance.randrange(20))), b"key", []
    return jobs_line(chance) if chance.random() < 0.9 else (None, b"key", [])


def feed_host(lines: list[JobsLine]) -> bool:
    return asyncio.run(led_through(lines))


async def led_through(lines: list[JobsLine]) -> bool:
    broker = MemoryBroker()
    keeper = keeper_of(broker)
    setup(broker)
    read = []
    for value, key, headers in lines:
        offset = broker.say_bytes(value, key=key, headers=headers)
        if value is not None:
            read.append(jobs_door.read(Record("jobs", 0, offset, 0, key, value, headers), UNASKED))  # type: ignore[arg-type]
    end = broker.say(submitted(99)) + 1
    await until_async(lambda: broker.batches()[-1:] and broker.batches()[-1].position == end, "all is read")
    refused = [one.given.offset for one in read if one.refusal]
    set_aside = [offset for _, offset, _ in broker.quarantined]
    judged = [event.offset for event in broker.events(InputQuarantined)]
    assert set(refused) <= set(judged)
    assert sorted(set_aside) == sorted(judged), "the ledger says that `quarantine` holds them"
    assert all(reason.isprintable() and len(reason) < 300 for _, _, reason in broker.quarantined)
    assert len(broker.events(Opened)) == 1, "the pool never ended"
    for batch in broker.batches():
        for one in batch.inputs:
            if isinstance(one.body, Submission):
                assert one.key.encode() == broker[0].jobs[one.offset].key, "an erasure finds the record"
                assert "\0" not in one.key
    await keeper.close(with_snapshot=False)
    return 2 * len(refused) <= len(read)


DOORS = (
    Door(
        "jobs, by a pool's host",
        lambda chance: several(chance, 6, line),
        feed_host,
        ("streams.ledger.pool_host.PoolHost",),
    ),
)

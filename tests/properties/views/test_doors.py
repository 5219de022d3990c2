"""The views show whatever the door of the scheduler takes: no number and no text that it took sets a job aside, and
nothing about a node, a cluster, a version or the policy is passed over."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.bounds import NUMBER_MAX, TIME_MS_MAX
from contract.codec import Malformed, body_of, decode_input, encode
from contract.inputs import JobSubmitted, Wire
from tests.properties.contract.records import records, wire
from tests.properties.views.watched import Watched
from tests.unit.scheduling.specification import Pool, a_job

LIVES = settings(max_examples=100, derandomize=True)
"""The same examples every time: how many of them are taken is part of the claim."""


DIGEST = "sha256:" + "d" * 64


def of_the_pool(record: JobSubmitted, number: int, expires_ms: int, **known: str) -> JobSubmitted:
    """The same submission with an id that the pool judges, a digest, and the tenant, model and tier that are given."""
    changes = {name: text for name, text in known.items() if text}
    body = msgspec.structs.replace(
        record.submission, job=a_job(number), expires_ms=expires_ms, digest=DIGEST, **changes
    )
    return msgspec.structs.replace(record, submission=body, salt="0" * 32)


JOBS = st.builds(
    of_the_pool,
    records(JobSubmitted),
    st.integers(0, 20),
    st.sampled_from((0, NUMBER_MAX, NUMBER_MAX, TIME_MS_MAX, 7, -1, 2**63)),
    model=st.sampled_from(("shapes", "shapes", "")),
    tenant=st.sampled_from(("acme", "acme", "")),
    tier=st.sampled_from(("free", "free", "")),
    via=st.sampled_from(("api", "api", "")),
)
SAID = st.booleans().flatmap(lambda job: JOBS if job else wire())


def test_what_the_scheduler_takes_is_shown() -> None:
    ends: Counter[str] = Counter()

    @LIVES
    @given(st.lists(SAID, min_size=1, max_size=12))
    def holds(said: list[Wire]) -> None:
        pool, watched = Pool(check=False), Watched()
        pool.publish()
        for record in said:
            try:
                taken = decode_input(encode(record))
            except Malformed:
                ends["refused"] += 1
                continue
            pool.tell(body_of(taken))
            ends["taken"] += 1
        for offset, batch in enumerate(pool.batches):
            watched.take(offset, batch)  # asserts that nothing was set aside or passed over
            ends.update(type(event).__name__ for event in batch.events)

    holds()
    assert ends["taken"] * 2 >= ends["refused"], ends
    assert min(ends["JobAccepted"], ends["JobRefused"]) > 8, ends

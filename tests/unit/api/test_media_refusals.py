"""Why a job's media were refused is read by the job's owner, in the CPU worker's own sentence where there is one."""

from __future__ import annotations

from typing import Any

import pytest

from contract.preparation_reports import MEDIA_REFUSALS
from contract.prepared import REFUSAL_NAME, preparation_prefix
from runtime.object_store import Missing, StoreAway
from tests.unit.api.served import ServedApi
from views.rows import JobRow
from views.words import MEDIA_REFUSED, PREPARATION_CLOSED

JOB, PREPARATION = "main-" + "0" * 32, "1.7.0"
SENTENCE = "clip.mp4 lasts 61 s: at most 30 s are taken"


class Store:
    def __init__(self) -> None:
        self.objects = {preparation_prefix(JOB, PREPARATION) + REFUSAL_NAME: f"{SENTENCE}\n".encode()}
        self.away = False

    def get(self, key: str, bytes_max: int) -> bytes:
        if self.away:
            raise StoreAway("the store is away")
        if key not in self.objects:
            raise Missing(key)
        return self.objects[key]


def row_of(**known: Any) -> JobRow:
    blank = {"pool": "main", "tenant": "acme", "tier": "free", "model": "edit", "version": "", "submitted_ms": 1}
    refused = {"job": JOB, "state": "refused", "reason": "too_long", "preparation": PREPARATION, "media": 1}
    return JobRow(**{**blank, **refused, **known})


def shown(row: JobRow, store: Store, tenant: str = "acme") -> dict[str, Any]:
    reads = {"job": lambda asking, name: row if (asking, name) == (tenant, JOB) else None, "attempts": lambda *_: []}
    found: dict[str, Any] = ServedApi(store=store, reads=reads).request("GET", f"/v1/jobs/{JOB}").json()
    return found


def test_the_owner_reads_the_workers_sentence() -> None:
    found = shown(row_of(), Store())
    assert found["refusal"] == SENTENCE
    assert (found["job"]["state"], found["job"]["reason"], found["job"]["media"]) == ("refused", "too_long", 1)


@pytest.mark.parametrize(
    ("row", "away"),
    [
        (row_of(), True),
        (row_of(preparation="1.8.0"), False),
        (row_of(preparation=""), False),
        (row_of(erasure="ordered"), False),
    ],
    ids=["the store is away", "the worker left none", "no worker said it", "erased"],
)
def test_else_one_for_the_kind(row: JobRow, away: bool) -> None:
    store = Store()
    store.away = away
    assert shown(row, store)["refusal"] == MEDIA_REFUSED["too_long"]


@pytest.mark.parametrize("known", [{"state": "preparing", "reason": ""}, {"reason": "unknown_model"}])
def test_other_jobs_have_none(known: dict[str, str]) -> None:
    assert shown(row_of(**known), Store())["refusal"] == ""


def test_what_a_worker_wrote_steers_no_terminal() -> None:
    store = Store()
    store.objects[preparation_prefix(JOB, PREPARATION) + REFUSAL_NAME] = b"\x1b[2J\xff too long"
    assert shown(row_of(), store)["refusal"] == "\\x1b[2J\ufffd too long"


def test_nobody_elses_job_is_shown() -> None:
    assert shown(row_of(), Store(), tenant="globex")["status"] == 404


def test_there_are_words_for_every_refusal_and_every_end() -> None:
    assert MEDIA_REFUSED.keys() == set(MEDIA_REFUSALS)
    assert {"killed", "drained", "unclaimed", "outage", "lost", "rejoined", "revoked"} <= PREPARATION_CLOSED.keys()

"""CPU workers are killed in every phase, and no job is lost, none is prepared into two results."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from typing import Any

import psutil
import pytest

from contract.chain import Chain, Counted
from contract.codec import decode_prepared
from contract.events import Event, InputsPrepared, PreparationClosed, PreparationOrdered
from contract.lifecycle import ENDINGS
from contract.names import digest_of
from contract.prepared import MANIFEST_NAME, PREPARED_MANIFEST_BYTES_MAX, preparation_prefix
from contract.topics import LEDGER
from cpu_worker.io.file_decoders import PROGRAM
from local import stack
from runtime.kafka import offsets, read_range
from tests.system.installation import Installation
from tests.system.media_by_hand import RULE, MediaByHand, picture
from tests.system.worker_killer import PHASES, WorkerKiller
from tests.waiting import until

WITHIN_S = 240.0


def events(here: Installation) -> list[Event]:
    """Of the ledger of pool main."""
    kafka, chain, found = stack.settings(here.data).brokers, Chain("main"), list[Event]()
    for record in read_range(kafka, LEDGER, 0, *offsets(kafka, LEDGER, 0)):
        judged = chain.offer(record.offset, record.value or b"")
        if isinstance(judged, Counted):
            found += judged.batch.events
    return found


def run_killing(here: Installation, jobs: int, kills: int, seed: int) -> Counter[str]:
    """How often a worker was killed, by phase."""
    by_hand = MediaByHand(here)
    killer = WorkerKiller(here, seed, kills)
    killer.start()
    try:
        version = by_hand.publish()
        pictures = [picture(seed + number) for number in range(jobs)]
        sent = {by_hand.submit(version, by_hand.upload(data)): data for data in pictures}

        def endings() -> dict[str, str]:
            named = {e.job: type(e).__name__ for e in events(here) if type(e).__name__ in ENDINGS}  # type: ignore[union-attr]
            return {job: ending for job, ending in named.items() if job in sent}

        until(lambda: len(endings()) == jobs, f"{jobs} jobs ended", WITHIN_S + 2 * jobs)
        assert set(endings().values()) == {"JobSucceeded"}
    finally:
        killer.stop()
        by_hand.close()
    assert killer.kills.total() >= kills // 2, f"expected kills enough, found {killer.kills}"
    check_preparations(here, by_hand, sent, killer.kills)
    assert [verdict["findings"] for verdict in here.json("audit", "verify")] == [[]]
    assert not orphans(here)
    return killer.kills


def check_preparations(here: Installation, by_hand: MediaByHand, sent: dict[str, bytes], kills: Counter[str]) -> None:
    """One result of each job is accepted, and it is that job's own picture, whole."""
    ordered: dict[str, set[str]] = defaultdict(set)
    accepted: dict[str, list[InputsPrepared]] = defaultdict(list)
    lost = 0
    for event in events(here):
        match event:
            case PreparationOrdered(job=job, preparation=preparation) if job in sent:
                ordered[job].add(preparation)
            case InputsPrepared(job=job) if job in sent:
                accepted[job].append(event)
            case PreparationClosed(job=job, counts=True) if job in sent:
                lost += 1
    assert {job: len(found) for job, found in accepted.items()} == dict.fromkeys(sent, 1)
    assert lost >= kills.total() // 2, "most kills met a preparation"
    for job, (prepared,) in accepted.items():
        prefix = preparation_prefix(job, prepared.preparation)
        raw = by_hand.store.get(prefix + MANIFEST_NAME, PREPARED_MANIFEST_BYTES_MAX)
        assert digest_of(raw) == prepared.manifest
        (file,) = (manifest := decode_prepared(raw)).files
        assert (manifest.job, manifest.preparation) == (job, prepared.preparation)
        assert file.facts.source_sha256 == hashlib.sha256(sent[job]).hexdigest()
        data = by_hand.store.get(prefix + file.name, file.bytes)
        assert hashlib.sha256(data).hexdigest() == file.sha256
        assert (file.facts.width, file.facts.height) == (RULE.width, RULE.height)
    for key in by_hand.store.list("inputs/"):
        _, job, preparation, _ = key.split("/", 3)
        assert job not in sent or preparation in ordered[job], "a sweep finds every object by its job and preparation"


def orphans(here: Installation) -> list[int]:
    """Processes that a killed worker left: those that decode, below no worker of the stack."""
    living = {here.pid(f"cpu-{number}") for number in (1, 2)}
    found = []
    for process in psutil.process_iter(["cmdline", "ppid"]):
        info: dict[str, Any] = process.info
        if PROGRAM in (info["cmdline"] or ()) and info["ppid"] not in living:
            found.append(process.pid)
    return found


def test_workers_that_are_killed_lose_no_job_and_prepare_none_twice(two_workers: Installation) -> None:
    run_killing(two_workers, jobs=30, kills=6, seed=14)


@pytest.mark.long
def test_two_hundred_jobs_while_workers_are_killed_in_every_phase(two_workers: Installation) -> None:
    """Twelve at most: a stack rests longer after each crash of a part, up to 30 s."""
    kills = run_killing(two_workers, jobs=200, kills=12, seed=1_400)
    assert set(kills) == set(PHASES)

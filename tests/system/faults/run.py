"""One run: a stack, its load, three lanes of faults, and the verdict."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import psutil

from local import stack
from tests.gang_model import gang_model
from tests.system.faults import judgement, leftovers, verdict
from tests.system.faults.load import BY_KAFKA, Submitter
from tests.system.faults.means import Means
from tests.system.faults.report import Done, Report, table
from tests.system.faults.timetable import AWAY, GANGS, LEASE_S, STANDING_STILL, Planned, Timetable, drawn
from tests.system.installation import POLICY, Installation, installation

SLOTS = 4
FAULTS = len(STANDING_STILL) + len(AWAY)
"""Each kind once."""
MIB = 1024 * 1024
SAMPLE_EVERY_S = 2.0
RSS_MIB_MAX = 250.0
"""Of any process of ours, at any moment. The API had most: 158 MiB on seeds 1 to 3."""
POLICY_CHANGES = {"node_lease: 4s": f"node_lease: {LEASE_S:.0f}s", "words_kept: 30s": "words_kept: 10m"}
"""What is in `quarantine` stays until the end."""


class Lane(threading.Thread):
    """Does its faults one after another."""

    def __init__(self, lane: Sequence[Planned], do: Callable[[Planned], str], begun_s: float) -> None:
        super().__init__(daemon=True)
        self._lane, self._do, self._begun_s = lane, do, begun_s
        self.done: list[Done] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for planned in self._lane:
                time.sleep(planned.after_s)
                at_s = time.monotonic()
                note = self._do(planned)
                lasted_s = round(time.monotonic() - at_s, 1)
                self.done.append(Done(planned.fault, planned.target, round(at_s - self._begun_s, 1), lasted_s, note))
        except BaseException as failure:
            self.failure = failure


class Peaks(threading.Thread):
    """The most that each part of ours has in memory."""

    def __init__(self, here: Installation) -> None:
        super().__init__(daemon=True)
        self._here = here
        self._over = threading.Event()
        self.rss_mib: dict[str, float] = {}

    def run(self) -> None:
        while not self._over.wait(SAMPLE_EVERY_S):
            for part in stack.status(self._here.data).parts:
                if part.pid and part.name not in ("kafka", "postgres", "s3"):
                    try:
                        found = psutil.Process(part.pid).memory_info().rss / MIB
                    except psutil.Error:
                        continue
                    self.rss_mib[part.name] = round(max(found, self.rss_mib.get(part.name, 0.0)), 1)

    def stop(self) -> None:
        self._over.set()
        self.join()


def run(data: Path, seed: int, jobs: int, kills: int, faults: int = FAULTS) -> Report:
    """One run. AssertionError says what does not hold."""
    begun_s = time.monotonic()
    data.mkdir(parents=True, exist_ok=True)
    words = POLICY.read_text()
    for short, long in POLICY_CHANGES.items():
        assert short in words
        words = words.replace(short, long)
    policy = data / "policy.yaml"
    policy.write_text(words)
    timetable = drawn(seed, kills, faults)
    with installation(data / "stack", policy=policy, nodes=2, slots=SLOTS) as here:
        here.publish_noop()
        for name, ranks in GANGS.items():
            here.json("models", "publish", str(gang_model(data / "models" / name, name, ranks)))
        peaks = Peaks(here)
        peaks.start()
        submitters, done, refused = _under_faults(here, seed, jobs, timetable)
        try:
            current_s = verdict.current_after_s(here)
            report = _judged(here, [job for one in submitters for job in one.acked], done, refused, current_s)
        except AssertionError as failure:
            failure.add_note(table(done))
            raise
        peaks.stop()
    leftovers.check_all_ended(here.data)
    for part, mib in peaks.rss_mib.items():
        assert mib <= RSS_MIB_MAX, f"expected {part} to stay below {RSS_MIB_MAX:g} MiB, found {mib}"
    return msgspec.structs.replace(
        report,
        seed=seed,
        took_s=round(time.monotonic() - begun_s, 1),
        slowest_answer_s=round(max(one.slowest_s for one in submitters), 1),
        rss_mib=dict(sorted(peaks.rss_mib.items())),
    )


def _under_faults(
    here: Installation, seed: int, jobs: int, timetable: Timetable
) -> tuple[list[Submitter], list[Done], set[tuple[str, int, int]]]:
    """Load and faults until both are over: (who submitted, what was done, which records must be refused)."""
    by_kafka = jobs // BY_KAFKA
    submitters = [
        Submitter(here, jobs - by_kafka, seed, timetable.span_s, by_kafka=False),
        Submitter(here, by_kafka, seed, timetable.span_s, by_kafka=True),
    ]
    means = Means(here, seed, lambda: list(submitters[0].acked))
    lanes = [Lane(lane, means.do, time.monotonic()) for lane in timetable]
    for thread in (*submitters, *lanes):
        thread.start()
    for lane in lanes:
        lane.join()
        assert lane.failure is None, f"a fault could not be done, or did not end: {lane.failure!r}"
    for submitter in submitters:
        submitter.join()
        assert submitter.failure is None, f"a submission was never acknowledged: {submitter.failure!r}"
    unfound = [job for one in submitters for job in one.unfound]
    assert not unfound, (
        f"expected each 202 to be found right after it, found {len(unfound)} that were not: {unfound[:3]}"
    )
    acked = sum(len(one.acked) for one in submitters)
    assert acked == jobs, f"expected {jobs} acknowledged jobs, found {acked}"
    done = sorted((done for lane in lanes for done in lane.done), key=lambda one: one.began_s)
    return submitters, done, means.refused


def _judged(
    here: Installation, acked: list[str], done: list[Done], refused: set[tuple[str, int, int]], current_s: float
) -> Report:
    facts = verdict.check_ends(here, acked)
    judgement.require_ends(facts, acked)
    struck = judgement.Struck([(one.fault, one.target) for one in done], SLOTS)
    attempts = judgement.require_failures(facts, struck)
    verdict.check_quarantine(here, refused)
    judgement.require_set_aside(facts, refused)
    assert [one["findings"] for one in here.json("audit", "verify")] == [[]]
    verdict.check_words(here)
    verdict.check_logs(here)
    left = [
        leftovers.check_store(here, facts),
        leftovers.check_disk(here),
        leftovers.check_processes(here, SLOTS),
    ]
    assert current_s <= verdict.CURRENT_WITHIN_S, (
        f"expected all current within {verdict.CURRENT_WITHIN_S:g} s of the last fault, found {current_s:.1f} s"
    )
    return Report(0, done, len(acked), attempts, round(current_s, 1), 0.0, 0.0, {}, left)

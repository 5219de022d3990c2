"""The independent auditor: reads the raw bytes of the log after every append and judges them by its own rules.

It imports nothing of `scheduling` and decodes JSON without our classes. Its chain rule, its books (`book`) and its
policy (`picks`) are second, naive implementations of what the design says. What it knows besides the log is what only
the world knows: when a record truly reached it, what was acknowledged, which outages were ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from contract.topics import JOBS
from tests.simulation.book import Book
from tests.simulation.log import Record
from tests.simulation.pages import TERMINAL, Moment
from tests.simulation.picks import Picks
from tests.simulation.violation import Stories, Violation

GENESIS = "0" * 64
ELAPSED_MS_MAX = 10_000
INPUT_AHEAD_MS_MAX = 60_000


class Auditor:
    def __init__(
        self, jobs: list[Record], compacted: set[tuple[str, int]], stored: Callable[[str, str], str | None]
    ) -> None:
        self.book = Book(stored)
        self.picks = Picks(self.book)
        self.stories = Stories()
        self.counted: list[int] = []
        """Offsets of the records that count, in order."""
        self.head_hash, self.head_seq, self.epoch = GENESIS, -1, 0
        self.now_ms = self.lease_ms = self.position = 0
        self.downtime: Callable[[int, int], tuple[int, int]] = lambda start, end: (0, 0)
        """Asked with two true times: how long we were down between them, in ms, and how often."""
        self.built_ms: dict[str, int] = {}
        """By record hash: the true time at which the writer made the record."""
        self._jobs, self._compacted = jobs, compacted
        self._hashes = {GENESIS}
        self._losers: set[str] = set()
        self._heard: dict[str, list[tuple[int, int]]] = {}

    # -- what reaches the log ---------------------------------------------------------------------------------

    def jobs_appended(self, record: Record) -> None:
        if record.value is not None:
            body = msgspec.json.decode(record.value)
            if body["type"] == "NodeHeartbeat.v1" and body["session"] in self._heard:
                self._heard[body["session"]].append((record.offset, record.true_ms))
            elif body["type"] == "NodeJoined.v1":  # a late copy of a join says nothing new
                self._heard.setdefault(body["session"], [(record.offset, record.true_ms)])

    def ledger_appended(self, record: Record) -> bool:
        """Judges the record. True when the record counts."""
        assert record.value is not None
        batch = msgspec.json.decode(record.value)
        record_hash = hashlib.sha256(record.value).hexdigest()
        first_time = record_hash not in self._hashes
        self._hashes.add(record_hash)
        opened = [event for event in batch["events"] if event["type"].startswith("Opened.")]
        if batch["prev_hash"] != self.head_hash:
            if batch["prev_hash"] not in self._hashes:
                raise Violation("I14", f"record {record.offset} follows a record that is not in the log")
            if batch["prev_hash"] in self._losers and not opened:
                raise Violation("R4", f"record {record.offset} was decided after an Opened that did not count")
            if opened and first_time:
                self._losers.add(record_hash)
            return False
        if batch["seq"] != self.head_seq + 1:
            raise Violation("I14", f"record {record.offset} has seq {batch['seq']} after {self.head_seq}")
        if batch["epoch"] != self.epoch + (1 if opened else 0):
            raise Violation("I14", f"record {record.offset} has epoch {batch['epoch']} after {self.epoch}")
        if opened and (len(batch["events"]) > 1 or batch["inputs"]):
            raise Violation("R4", f"record {record.offset} opens and decides at once")
        self._count(record, batch, record_hash)
        return True

    # -- a record that counts ---------------------------------------------------------------------------------

    def _count(self, record: Record, batch: dict[str, Any], record_hash: str) -> None:
        self._check_times(batch)
        self._check_inputs(record.offset, batch)
        self.head_hash, self.head_seq, self.epoch = record_hash, batch["seq"], batch["epoch"]
        self.now_ms = batch["now_ms"]
        self.lease_ms += batch["elapsed_ms"]
        self.position = batch["position"]
        self.counted.append(record.offset)
        decides = not any(event["type"].startswith("Opened.") for event in batch["events"])
        moment = Moment(
            record.offset,
            batch["epoch"],
            batch["seq"],
            self.now_ms,
            self.lease_ms,
            batch["inputs"],
            decides,
            batch["events"],
        )
        self.book.read_inputs(moment)
        built_ms = self.built_ms.get(record_hash, record.true_ms)
        for event in batch["events"]:
            kind = event["type"].partition(".")[0]
            self.stories.note(record.offset, self.now_ms, event)
            if kind == "JobDispatched":
                self.picks.check(event, moment)
            elif kind == "PreparationOrdered":
                self.picks.preparing.check(event, moment)
            elif kind == "GangReserved":
                self.picks.check_reserved(event, moment)
            elif kind == "NodeLost":
                self._check_silence(event, batch, built_ms)
            self.picks.entering(event, moment)
            self.book.enter(event, moment)
            self.picks.entered(event)
        self.book.close_batch(moment)

    def _check_times(self, batch: dict[str, Any]) -> None:
        if batch["now_ms"] < self.now_ms:
            raise Violation("R3", f"time went back from {self.now_ms} to {batch['now_ms']}")
        if not 0 <= batch["elapsed_ms"] <= ELAPSED_MS_MAX:
            raise Violation("I16", f"a batch took {batch['elapsed_ms']} ms of lease time, 10 s is the most")
        for entry in batch["inputs"]:
            if batch["now_ms"] < entry["at_ms"] <= self.now_ms + INPUT_AHEAD_MS_MAX:
                raise Violation("R3", f"the batch at {batch['now_ms']} is older than its input {entry['offset']}")

    def _check_inputs(self, offset: int, batch: dict[str, Any]) -> None:
        """The inputs of a batch are what lies in `jobs`: each record once, none left out (I1)."""
        if batch["position"] < self.position:
            raise Violation("I1", f"record {offset} goes back from {self.position} to {batch['position']}")
        read = {entry["offset"]: entry for entry in batch["inputs"]}
        if len(read) != len(batch["inputs"]) or list(read) != sorted(read):
            raise Violation("I1", f"record {offset} reads its inputs out of order or twice")
        for at in range(self.position, batch["position"]):
            if at >= len(self._jobs):
                raise Violation("I1", f"record {offset} reads offset {at} of `jobs`, which does not exist yet")
            entry, lies = read.pop(at, None), self._jobs[at]
            if entry is None:
                if (JOBS, at) not in self._compacted and lies.value is not None:
                    raise Violation("I1", f"record {offset} left out offset {at} of `jobs`")
            elif lies.value is not None:
                body = msgspec.json.decode(lies.value)
                if entry["body"] != body.get("submission", body) or entry["at_ms"] != lies.append_ms:
                    raise Violation("I1", f"record {offset} misquotes offset {at} of `jobs`")
                if entry.get("signer") and "submission" not in body and not lies.key.startswith(entry["signer"] + " "):
                    raise Violation("I1", f"record {offset} takes another for the signer of offset {at} of `jobs`")
        if read:
            raise Violation("I1", f"record {offset} reads offsets {sorted(read)} outside its positions")
        handled = {event.get("offset") for event in batch["events"]}
        for entry in batch["inputs"]:
            if entry["body"]["type"] == "Submission.v1" and entry["offset"] not in handled:
                raise Violation("I1", f"record {offset} passes over the submission at {entry['offset']}")

    def _check_silence(self, event: dict[str, Any], batch: dict[str, Any], built_ms: int) -> None:
        """I16, by what only the world knows: a whole lease lies between what was read of the node and what came
        next."""
        heard = self._heard.get(event["session"], [])
        read = [true_ms for at, true_ms in heard if at < batch["position"]]
        unread = [true_ms for at, true_ms in heard if at >= batch["position"] and true_ms <= built_ms]
        start, end = read[-1], unread[0] if unread else built_ms
        down_ms, outages = self.downtime(start, end)
        silent_ms = end - start - down_ms + ELAPSED_MS_MAX * outages
        lease_ms = self.book.policy["node_lease_ms"]
        if silent_ms < lease_ms:
            text = f"{event['session']} was given up {end - start} ms after a heartbeat"
            raise Violation("I16", f"{text} ({outages} outages of ours of {down_ms} ms in between)")

    # -- at the end -------------------------------------------------------------------------------------------

    def unfinished(self) -> list[str]:
        return sorted(book.job for book in self.book.jobs.values() if book.state not in TERMINAL)

    def unknown(self, acknowledged: set[str]) -> list[str]:
        """The acknowledged submissions that are not in the ledger (I1)."""
        return sorted(acknowledged - self.book.jobs.keys() - self.book.refused)

"""The second book of a batch's header and inputs: times, offsets, positions, and an outcome for every submission."""

from __future__ import annotations

from collections.abc import Callable

from contract import events as said
from contract import inputs as heard
from contract import signers
from contract.batch import ELAPSED_MAX_MS, INPUT_AHEAD_MAX_MS, Batch

RULES_WITH_SIGNATURES = 4
"""Schedulers of earlier rules know no signatures. One that takes over once more asks for none."""


class InputBook:
    """Told of each batch; says what is wrong as (invariant, text, job)."""

    def __init__(self, wrong: Callable[[str, str, str], None]) -> None:
        self._wrong = wrong
        self._position = 0
        self._signed_from = -1
        """Offset in `jobs` from which inputs name their signer, under the scheduler that leads; -1: from none."""
        self._signed_once = -1
        """Under the first scheduler that had keys."""
        self.now_ms = 0
        """The latest time of a batch so far."""

    def check_header(self, batch: Batch) -> None:
        """Times, offsets and position against those of the batches before."""
        if batch.now_ms < self.now_ms:
            self._wrong("I14", f"expected a time of at least {self.now_ms}, found {batch.now_ms}", "")
        if not 0 <= batch.elapsed_ms <= ELAPSED_MAX_MS:
            self._wrong("I16", f"expected 0 to {ELAPSED_MAX_MS} ms of lease time, found {batch.elapsed_ms}", "")
        last = self._position - 1
        for given in batch.inputs:
            if not last < given.offset < batch.position:
                text = f"input {given.offset} is out of order or outside {self._position} to {batch.position}"
                self._wrong("I1", text, "")
            last = max(last, given.offset)
            if batch.now_ms < given.at_ms <= self.now_ms + INPUT_AHEAD_MAX_MS:
                text = f"the batch's time {batch.now_ms} is before its input {given.offset} ({given.at_ms})"
                self._wrong("I14", text, "")
        if batch.position < self._position:
            self._wrong("I1", f"the position goes back from {self._position} to {batch.position}", "")
        self.now_ms = max(self.now_ms, batch.now_ms)
        self._position = batch.position

    def check_signers(self, batch: Batch) -> None:
        """From where the pool asks for signatures on, each input that was taken names a signer who may say it."""
        for event in batch.events:
            if isinstance(event, said.Opened):
                self._open(event)
        for given in batch.inputs:
            must = 0 <= self._signed_from <= given.offset and not isinstance(given.body, heard.Unreadable)
            if must != bool(given.signer):
                found = given.signer or "nobody"
                self._wrong("I1", f"input {given.offset} was taken as signed by {found}", "")
            elif must and (not signers.is_signer(given.signer) or signers.refusal_of(given.signer, given.body)):
                text = f"input {given.offset} says what its signer {given.signer[:200]} may not say"
                self._wrong("I1", text, "")

    def _open(self, event: said.Opened) -> None:
        """A release with signatures keeps the offset that the first scheduler with keys wrote."""
        self._signed_from = event.signed_from
        if self._signed_once < 0:
            self._signed_once = event.signed_from
        elif event.signed_from != self._signed_once and event.rules >= RULES_WITH_SIGNATURES:
            text = f"expected signatures from offset {self._signed_once} of `jobs` on, found {event.signed_from}"
            self._wrong("I1", text, "")

    def check_submissions(self, batch: Batch) -> None:
        """Each submission that a batch reads has an outcome in the same batch (I1)."""
        asked = {i.offset: i.body.job for i in batch.inputs if isinstance(i.body, heard.Submission)}
        if not asked:
            return
        outcomes = (*(said.JobAccepted, said.JobPreparing, said.JobRefused, said.JobDuplicated, said.InputQuarantined),)
        answered = {event.offset for event in batch.events if isinstance(event, outcomes)}
        for offset, job in asked.items():
            if offset not in answered:
                self._wrong("I1", f"the submission at offset {offset} of `jobs` was read and has no outcome", job)

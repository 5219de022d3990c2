"""Mutants of the rule that an erasure stands: doors that check it, and copies that come all the same."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_COPY = "tests/unit/streams/test_intake_partition.py::"
_REFUSED = f"{_COPY}test_a_copy_that_comes_after_the_erasure_is_neither_passed_on_nor_kept"
_SWEEP = "tests/unit/operations/test_copy_sweep.py::"
_BURIED = f"{_SWEEP}test_a_late_copy_is_buried_and_on_record_once"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "intake passes on a copy of an erased job",
        "streams/door/intake_partition.py",
        "        erased = self._admission.erased(sorted(jobs))",
        "        erased = frozenset[str]()",
        _REFUSED,
    ),
    Mutant(
        "quarantine keeps the words of an erased job",
        "streams/door/intake_partition.py",
        "                kept = None if isinstance(outcome, RefusedAsErased) else record.value",
        "                kept = record.value",
        _REFUSED,
    ),
    Mutant(
        "views that are away let erased words pass",
        "streams/door/intake_partition.py",
        "        erased = self._admission.erased(sorted(jobs))",
        """        try:
            erased = self._admission.erased(sorted(jobs))
        except RegistryAway:
            erased = frozenset()""",
        f"{_COPY}test_while_nobody_can_tell_what_was_erased_nothing_is_passed_on",
    ),
    Mutant(
        "a copy that was too old to run is not buried",
        "operations/copy_sweep.py",
        "case JobDuplicated() | InputQuarantined() | JobRefused():",
        "case JobDuplicated() | JobRefused():",
        f"{_SWEEP}test_what_comes_after_an_erasure_is_due_and_nothing_else",
    ),
    Mutant(
        "a new life of an erased id is buried",
        "operations/copy_sweep.py",
        """                case JobAccepted() | JobPreparing():
                    self._copies.pop(event.job, None)
                    self._erased.discard(event.job)
""",
        "",
        f"{_SWEEP}test_a_new_life_of_the_id_is_not_what_was_erased",
    ),
    Mutant(
        "an erasure under way is swept",
        "operations/copy_sweep.py",
        "            if job in self._erased and kept:",
        "            if kept:",
        f"{_SWEEP}test_what_an_erasure_under_way_left_is_due_once_it_is_on_record",
    ),
    Mutant(
        "a buried copy is not put on record",
        "operations/copy_sweep.py",
        "            for record in completed(job, sorted(copies), gone_by_ms):\n"
        "                say(producer, signer, partition, record)\n",
        "",
        _BURIED,
    ),
    Mutant(
        "a sweep forgets the tombstones",
        "operations/copy_sweep.py",
        "[bury(producer, signer, partition, key) for _, key in sorted(copies.items())][-1]",
        "[bury(producer, signer, partition, key + key) for _, key in sorted(copies.items())][-1]",
        _BURIED,
    ),
)

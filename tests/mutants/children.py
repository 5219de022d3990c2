"""Mutants: the processes that run models."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a child that fails one job after another is kept",
        "gpu_worker/child/failure_streak.py",
        "return len(self._jobs) >= JOBS_MAX",
        "return False",
        "tests/process/gpu_worker/test_spent_children.py::test_different_jobs_that_fail_in_a_row_cost_the_child",
    ),
    Mutant(
        "a success does not clear a child",
        "gpu_worker/child/failure_streak.py",
        "            self._jobs.clear()",
        "            pass",
        "tests/process/gpu_worker/test_spent_children.py::test_a_job_that_succeeds_in_between_clears_the_child",
    ),
    Mutant(
        "a job's own faults count against its child",
        "gpu_worker/child/failure_streak.py",
        "elif outcome.kind not in _OWN_FAULTS:",
        "else:",
        "tests/process/gpu_worker/test_spent_children.py::test_inputs_that_a_model_refuses_say_nothing_of_its_child",
    ),
    Mutant(
        "attempts that were cancelled count against their child",
        "gpu_worker/child/slot.py",
        "failing = not launched.is_halting and process.streak.note",
        "failing = process.streak.note",
        "tests/process/gpu_worker/test_spent_children.py::test_attempts_that_were_cancelled_say_nothing_of_their_child",
    ),
    Mutant(
        "an error of the device leaves the child",
        "gpu_worker/child/slot.py",
        "broken = isinstance(answer, ModelFailed) and answer.broken",
        "broken = False",
        "tests/process/gpu_worker/test_spent_children.py::test_an_error_of_the_device_costs_the_child_at_once",
    ),
    Mutant(
        "a word in any exception is an error of the device",
        "gpu_worker/child/device_errors.py",
        ("    if not any(base.__name__ in CLASSES for base in type(error).__mro__):\n        return False\n"),
        "",
        "tests/unit/gpu_worker/test_device_errors.py::test_each_phrase_counts_in_an_error_of_a_library",
    ),
    Mutant(
        "codes of CUDA say nothing",
        "gpu_worker/child/device_errors.py",
        ('        if getattr(error, "error_code", None) in CODES:\n            return True\n'),
        "",
        "tests/unit/gpu_worker/test_device_errors.py::test_a_code_counts_without_words[710-True]",
    ),
    Mutant(
        "an error of the device that a model wrapped says nothing",
        "gpu_worker/child/device_errors.py",
        "link = link.__cause__ or link.__context__",
        "link = None",
        "tests/unit/gpu_worker/test_device_errors.py::test_an_error_that_a_model_wrapped_counts",
    ),
    Mutant(
        "a device that is lost is not asked",
        "gpu_worker/child/device_errors.py",
        "return any(is_sticky(link) for link in chain_of(error)) or is_device_lost()",
        "return any(is_sticky(link) for link in chain_of(error))",
        "tests/unit/gpu_worker/test_device_errors.py::test_a_device_that_answers_with_an_error_is_lost_whatever_the_model_said",
    ),
    Mutant(
        "memory that ran out leaves the child",
        "gpu_worker/child/slot.py",
        "        if memory_ran_out or launched.work.run.world > 1:",
        "        if launched.work.run.world > 1:",
        "tests/process/gpu_worker/test_slot.py::test_memory_that_ran_out_costs_the_child",
    ),
    Mutant(
        "a process that SIGKILL does not end is waited for",
        "gpu_worker/child/slot.py",
        ("            elif process.is_undying:\n                self._lose()\n"),
        "",
        "tests/process/gpu_worker/test_ends.py::test_a_child_that_does_not_die_costs_its_slot_until_it_does",
    ),
    Mutant(
        "a process that ends late does not give its slot back",
        "gpu_worker/child/slot.py",
        "            self._listener.regained(self._launch.index)\n",
        "",
        "tests/process/gpu_worker/test_ends.py::test_a_child_that_does_not_die_costs_its_slot_until_it_does",
    ),
    Mutant(
        "what a child detached is left behind",
        "gpu_worker/child/slot.py",
        (
            "        if self._strays.clear() and time.monotonic() < self._swept_by_s:\n"
            "            self._enter(Stage.SWEEPING, STRAYS_S)\n"
            "            return\n"
        ),
        "",
        "tests/process/gpu_worker/test_strays.py::test_what_a_model_detached_ends_with_its_child[death-found1]",
    ),
    Mutant(
        "a bad frame is read on behind",
        "gpu_worker/child/slot.py",
        ("                self._on_bad_frame(process, message)\n                return False"),
        "                continue",
        "tests/process/gpu_worker/test_words.py::test_a_bad_frame_fails_its_attempt_and_nothing_else",
    ),
    Mutant(
        "a child claims any kind of failure",
        "gpu_worker/child/slot.py",
        'message.kind if message.kind in CHILD_KINDS else "model_error"',
        "message.kind",
        "tests/process/gpu_worker/test_slot.py::test_a_kind_of_failure_that_no_child_may_claim_is_the_models_error",
    ),
    Mutant(
        "values that no part can hold leave the child",
        "gpu_worker/child/run_model.py",
        ("    fault = fault_of(values)\n    if fault:\n        raise BadValues(fault)\n"),
        "",
        "tests/process/gpu_worker/test_words.py::test_values_that_nobody_can_hold_fail_once_and_say_where",
    ),
    Mutant(
        "temporary files of `load` go with the first attempt",
        "gpu_worker/child/run_model.py",
        '    use_temporary(frame["temporary"], frame["temporary"])\n',
        "",
        "tests/process/gpu_worker/test_slot.py::test_temporary_files_last_as_long_as_what_made_them",
    ),
    Mutant(
        "what a model writes to be kept stays where the next attempt finds it",
        "gpu_worker/child/slot.py",
        "            self._scratch.keep_outputs(self._launch.index, launched.work.run.dispatch)\n",
        "            pass\n",
        "tests/process/gpu_worker/test_slot.py::test_outputs_lie_where_no_child_sees_them_once_it_has_answered",
    ),
    Mutant(
        "the home of one tenant's attempt is that of the next one's",
        "gpu_worker/child/run_model.py",
        '    use_temporary(frame["temporary"], frame["temporary"])\n',
        '    use_temporary(frame["temporary"], home)\n',
        "tests/process/gpu_worker/test_slot.py::test_temporary_files_last_as_long_as_what_made_them",
    ),
    Mutant(
        "a child outlives its agent",
        "gpu_worker/child/run_model.py",
        "    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)\n",
        "",
        "tests/process/gpu_worker/test_child.py::test_a_child_that_looks_at_nothing_ends_with_its_agent",
    ),
    Mutant(
        "a model's detached processes are taken for strays while it lives",
        "gpu_worker/child/run_model.py",
        (
            "    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what a model detaches stays below this "
            "process, and ends after it\n"
        ),
        "",
        "tests/process/gpu_worker/test_strays.py::test_what_a_model_detached_ends_with_its_child[switch-found0]",
    ),
    Mutant(
        "the last of what a dying child said is lost",
        "gpu_worker/child/slot.py",
        (
            "        for _ in range(LAST_RECEIVES):\n"
            "            if not self._read(process):\n"
            "                break\n"
            "        self._keep_prints(process, LAST_PRINTS)\n"
            "        process.note_end()"
        ),
        "        process.note_end()",
        "tests/process/gpu_worker/test_slot.py::test_a_large_answer_of_a_child_that_ends_at_once_is_heard",
    ),
    Mutant(
        "a piece of an answer is taken for the end of a child's words",
        "gpu_worker/child/slot.py",
        ("            self._on_message(process, message)\n        return True\n"),
        ("            self._on_message(process, message)\n        return bool(messages)\n"),
        "tests/process/gpu_worker/test_slot.py::test_a_large_answer_of_a_child_that_ends_at_once_is_heard",
    ),
    Mutant(
        "an attempt's home is that of the process",
        "gpu_worker/child/run_model.py",
        '    use_temporary(frame["temporary"], frame["temporary"])',
        '    use_temporary(frame["temporary"], home)',
        "tests/process/gpu_worker/test_homes.py::test_an_attempt_finds_nothing_of_the_one_before_in_its_home",
    ),
)

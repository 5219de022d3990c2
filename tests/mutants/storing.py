"""Mutants: what a node fetches and stores, and how it waits for servers of ours."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "an outage of the store fails attempts",
        "runtime/worker/outages.py",
        ('    if is_away(error):\n        return "store"\n'),
        "",
        "tests/unit/gpu_worker/test_results.py::test_an_hour_without_the_store_is_no_failure_and_all_is_stored_ten_seconds_after_its_end[away]",
    ),
    Mutant(
        "a full disk of ours fails attempts",
        "runtime/worker/outages.py",
        ('    if isinstance(error, OSError) and error.errno in DISK_FULL:\n        return "disk"\n'),
        "",
        "tests/unit/gpu_worker/test_supplies.py::test_a_full_disk_is_waited_for_and_said",
    ),
    Mutant(
        "rests grow beyond what the end of an outage may cost",
        "runtime/worker/outages.py",
        "rest_s = min(2 * rest_s, REST_MAX_S)",
        "rest_s = 2 * rest_s",
        "tests/unit/gpu_worker/test_results.py::test_an_hour_without_the_store_is_no_failure_and_all_is_stored_ten_seconds_after_its_end",
    ),
    Mutant(
        "a result that rests holds a place of those that store",
        "runtime/worker/outages.py",
        ("                    with self._at_work:\n                        return step()"),
        (
            "                    self._at_work.acquire()\n"
            "                    done = step()\n"
            "                    self._at_work.release()\n"
            "                    return done"
        ),
        "tests/unit/gpu_worker/test_results.py::test_results_that_rest_hold_up_no_result_that_the_store_takes",
    ),
    Mutant(
        "an outage is not told",
        "runtime/worker/outages.py",
        "                    self._told(what, cause)\n",
        "",
        "tests/process/gpu_worker/test_agent_outages.py::test_a_result_waits_for_the_store_while_the_slot_works_on_and_the_heartbeat_says_so",
    ),
    Mutant(
        "the end of an outage is not told",
        "runtime/worker/outages.py",
        ('            if said:\n                self._told(what, "")'),
        "            pass",
        "tests/process/gpu_worker/test_agent_outages.py::test_a_result_waits_for_the_store_while_the_slot_works_on_and_the_heartbeat_says_so",
    ),
    Mutant(
        "a file that changed is a result",
        "gpu_worker/io/outputs.py",
        "        if self._look() != self._signature:",
        "        if False:",
        "tests/unit/gpu_worker/test_outputs.py::test_a_large_output_that_changes_while_it_is_stored_is_refused[grow]",
    ),
    Mutant(
        "a file that is open for writing is a result",
        "gpu_worker/io/outputs.py",
        "        if _has_writer(self._fd):",
        "        if False:",
        "tests/unit/gpu_worker/test_outputs.py::test_an_output_that_somebody_may_still_write_to_is_refused[write_handle-large]",
    ),
    Mutant(
        "a writer that comes while a file is stored is not seen",
        "gpu_worker/io/outputs.py",
        ('found that it changed while it was stored")\n        self.check_closed()'),
        'found that it changed while it was stored")',
        "tests/unit/gpu_worker/test_outputs.py::test_a_writer_that_comes_while_it_is_stored_is_seen",
    ),
    Mutant(
        "an upload goes on though nobody wants it",
        "gpu_worker/io/outputs.py",
        ("            self._look()\n            part"),
        "            part",
        "tests/unit/gpu_worker/test_outputs.py::test_an_output_is_read_no_further_than_it_was_long_and_no_more_once_nobody_wants_it",
    ),
    Mutant(
        "an output is any path",
        "gpu_worker/io/outputs.py",
        ('    if not all(is_output_name(name) for name in names):\n        raise BadOutput("OutputNameInvalid")\n'),
        "",
        "tests/unit/gpu_worker/test_outputs.py::test_a_name_that_is_not_plain_is_refused[../a]",
    ),
    Mutant(
        "outputs of an attempt have no bound",
        "gpu_worker/io/result_objects.py",
        ('            if output.bytes > room:\n                raise BadOutput("OutputsTooLarge")\n'),
        "",
        "tests/unit/gpu_worker/test_outputs.py::test_outputs_have_limits",
    ),
    Mutant(
        "an abandoned result stays in the store",
        "gpu_worker/io/results.py",
        ("        if objects.is_abandoned:\n            objects.remove()\n"),
        "",
        "tests/unit/gpu_worker/test_results.py::test_an_abandoned_result_is_removed_and_told",
    ),
    Mutant(
        "an error text holds up its report for ever",
        "gpu_worker/io/result_objects.py",
        'return SILENT if outage(error) and self._waits.now_s() < until_s else ""',
        'return SILENT if outage(error) else ""',
        "tests/unit/gpu_worker/test_results.py::test_an_error_that_cannot_be_stored_is_reported_all_the_same",
    ),
    Mutant(
        "a version that is missing once is missing for good",
        "gpu_worker/io/versions.py",
        'return SILENT if looks < LOOKS_MAX else ""',
        'return ""',
        "tests/unit/gpu_worker/test_supplies.py::test_a_version_that_is_missing_or_damaged_is_looked_for_three_times[corrupt]",
    ),
    Mutant(
        "each attempt fetches its version itself",
        "gpu_worker/io/versions.py",
        (
            "                if waiting is not None:\n"
            "                    waiting.append(Waiting(tell, is_wanted, wheels_from_index))\n"
            "                else:"
        ),
        "                if True:",
        "tests/unit/gpu_worker/test_supplies.py::test_one_fetch_serves_all_who_wait_and_holds_up_nobody_else",
    ),
    Mutant(
        "a payload of another job is computed",
        "runtime/worker/payloads.py",
        "    if not _has_digest(record.salt, bytes(record.inputs), order.digest):\n        return None\n",
        "",
        "tests/unit/gpu_worker/test_supplies.py::test_a_payload_that_is_not_the_one_submitted_is_missing",
    ),
    Mutant(
        "inputs go to a child whatever they are",
        "gpu_worker/io/supplies.py",
        ("        if refusal is not None:\n            self._tell(run, refusal)\n            return\n"),
        "",
        "tests/unit/gpu_worker/test_supplies.py::test_inputs_that_no_child_can_be_given_are_refused_with_a_sentence",
    ),
    Mutant(
        "a check of values has no end",
        "gpu_worker/io/checker_process.py",
        "            self._socket.settimeout(max(0.001, until_s - time.monotonic()))\n",
        "            self._socket.settimeout(None)\n",
        "tests/process/gpu_worker/test_checker.py::test_a_check_without_an_end_is_ended_and_the_next_one_is_made",
    ),
    Mutant(
        "a checker has the agent's credentials",
        "gpu_worker/io/checker_process.py",
        (
            "                    env={\n"
            '                        "PYTHONPATH": os.pathsep.join(filter(None, sys.path))\n'
            "                    },"
        ),
        (
            "                    env={\n"
            '                        **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))\n'
            "                    },"
        ),
        "tests/process/gpu_worker/test_checker.py::test_it_gets_no_credentials",
    ),
    Mutant(
        "a result can be guessed from its digest",
        "gpu_worker/io/results.py",
        "outcome.values, files, secrets.token_hex(16))",
        'outcome.values, files, "")',
        "tests/unit/gpu_worker/test_results.py"
        "::test_nobody_who_guesses_a_result_can_confirm_it_by_the_digest_that_the_ledger_has",
    ),
)

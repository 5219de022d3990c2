"""Mutants: prepared media that a node fetches and gives to a model."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FETCHED = "tests/unit/gpu_worker/test_prepared_inputs.py::"
PROCESS = "tests/process/gpu_worker/test_prepared_media.py::"
IO = "gpu_worker/io/prepared_inputs.py"
LOST = FETCHED + "test_what_the_store_has_lost_is_to_be_prepared_anew"
CANNOT_BE = FETCHED + "test_a_manifest_that_cannot_be_is_not_followed"

MUTANTS = (
    Mutant(
        "a manifest is believed without its digest",
        IO,
        "        if digest_of(raw) != run.prepared.manifest:\n",
        "        if False:\n",
        PROCESS + "test_a_manifest_of_others_is_not_followed",
    ),
    Mutant(
        "prepared bytes are believed without their digest",
        IO,
        "        if _sha256(path) != file.sha256:\n",
        "        if False:\n",
        LOST + "[0.npy-damage]",
    ),
    Mutant(
        "the manifest of another preparation is followed",
        IO,
        "        if (manifest.job, manifest.preparation) != (run.job, run.prepared.preparation):\n",
        "        if False:\n",
        CANNOT_BE,
    ),
    Mutant(
        "a manifest may ask for more than the ledger says",
        IO,
        "        if sum(file.bytes for file in manifest.files) > run.prepared.bytes:\n",
        "        if False:\n",
        CANNOT_BE,
    ),
    Mutant(
        "media that wait have no budget",
        IO,
        "            if self._held and sum(self._held.values()) + needed > self._bytes_max:\n                return\n",
        "",
        FETCHED + "test_what_does_not_fit_is_fetched_when_there_is_room_in_the_order_in_which_it_came",
    ),
    Mutant(
        "media larger than the budget are never fetched",
        IO,
        "            if self._held and sum",
        "            if sum",
        FETCHED + "test_media_of_one_job_are_fetched_whatever_the_budget",
    ),
    Mutant(
        "what waits for room waits for ever",
        IO,
        "            self._held.pop(dispatch, None)\n            self._begin()\n",
        "            self._held.pop(dispatch, None)\n",
        FETCHED + "test_what_does_not_fit_is_fetched_when_there_is_room_in_the_order_in_which_it_came",
    ),
    Mutant(
        "a folder comes after its attempt was forgotten",
        IO,
        "            if not self._is_wanted(run):\n                raise GivenUp\n",
        "",
        FETCHED + "test_no_folder_comes_after_its_attempt_was_forgotten",
    ),
    Mutant(
        "a model may change what was prepared",
        IO,
        "        path.chmod(MODE)\n",
        "        path.chmod(0o666)\n",
        FETCHED + "test_what_was_prepared_lies_on_disk_and_may_only_be_read",
    ),
    Mutant(
        "lost media are a failure of the store",
        IO,
        '            found = Failure("inputs_missing", error_name("InputsMissing"), f"{error}\\n")\n',
        '            found = Failure("store", error_name("InputsMissing"), f"{error}\\n")\n',
        LOST,
    ),
    Mutant(
        "media stay in the slot after their attempt",
        "runtime/worker/scratch.py",
        "        for name in (OUTPUTS, INPUTS):\n",
        "        for name in (OUTPUTS,):\n",
        PROCESS + "test_the_next_attempt_finds_nothing_of_them",
    ),
    Mutant(
        "media keep their room until their attempt is stored",
        "gpu_worker/held_attempts.py",
        "            self._fetcher.forget(run.dispatch)\n            self._scratch.clean_fetched(run.dispatch)\n",
        "            pass\n",
        PROCESS + "test_media_make_room_when_their_attempt_is_computed",
    ),
    Mutant(
        "media that cannot be given end the node",
        "gpu_worker/child/slot.py",
        '        except OSError as error:\n            launched.settle(disk_failure(error, "store"))\n',
        '        except ZeroDivisionError as error:\n            launched.settle(disk_failure(error, "store"))\n',
        PROCESS + "test_media_that_cannot_be_given_to_a_child_fail_the_attempt_and_not_the_node",
    ),
    Mutant(
        "a user's words are replaced in what is kept of them",
        "gpu_worker/io/supplies.py",
        "    return msgspec.structs.replace(supplies, media=media)",
        "    return msgspec.structs.replace(supplies, inputs=with_paths(supplies.inputs, media, ''), media=media)",
        PROCESS + "test_what_the_user_wrote_is_kept_as_it_was",
    ),
)

"""Mutants: what models hand over, what encoders make of it, and what a node holds for it."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PROCESS = "tests/process/gpu_worker/test_encoding.py::"
MADE = "tests/unit/gpu_worker/test_made_media.py::"
HANDED = "tests/unit/gpu_worker/test_handed_media.py::"

MUTANTS = (
    Mutant(
        "an attempt's pictures have no limit",
        "gpu_worker/child/made_media.py",
        "                if self._bytes > self._bytes_max:",
        "                if False:",
        MADE + "test_what_an_attempt_may_hand_over_ends_at_the_nodes_budget",
    ),
    Mutant(
        "what is refused still counts",
        "gpu_worker/child/made_media.py",
        "            self._bytes = before\n",
        "",
        MADE + "test_what_an_attempt_may_hand_over_ends_at_the_nodes_budget",
    ),
    Mutant(
        "floats of another scale are cut without a word",
        "gpu_worker/child/made_media.py",
        "    if not (least >= FLOAT_LEAST and most <= FLOAT_MOST):  # NaN is neither",
        "    if False:",
        MADE + "test_an_author_is_told_what_was_expected",
    ),
    Mutant(
        "frames of another size are taken",
        "gpu_worker/child/made_media.py",
        "                elif shape[1:3] != (height, width):",
        "                elif False:",
        MADE + "test_an_author_is_told_what_was_expected",
    ),
    Mutant(
        "a float is cut down to a number, not rounded",
        "gpu_worker/child/made_media.py",
        "numpy.rint(numpy.clip(part, 0, 1) * 255).astype",
        "(numpy.clip(part, 0, 1) * 255).astype",
        MADE + "test_floats_become_the_nearest_and_an_overshoot_is_cut",
    ),
    Mutant(
        "an author's word for the size is believed",
        "gpu_worker/io/encoders.py",
        "            if raw.bytes != one.raw_bytes:",
        "            if False:",
        PROCESS + "test_a_child_is_not_believed",
    ),
    Mutant(
        "what a child says it handed over is not looked at",
        "gpu_worker/io/results.py",
        "        self._encoders.check(media, outcome.outputs)\n",
        "",
        PROCESS + "test_a_child_is_not_believed",
    ),
    Mutant(
        "two outputs may have one name",
        "gpu_worker/rules/handed_media.py",
        "    if len(set(names)) < len(names):",
        "    if False:",
        HANDED + "test_names_and_bytes_of_an_attempt_are_looked_at_together",
    ),
    Mutant(
        "a node encodes more than its budget",
        "gpu_worker/rules/handed_media.py",
        "    if sum(one.raw_bytes for one in media) > bytes_max:",
        "    if False:",
        HANDED + "test_names_and_bytes_of_an_attempt_are_looked_at_together",
    ),
    Mutant(
        "pictures that wait are not counted",
        "gpu_worker/io/results.py",
        "            return bytes_of(folder, outcome.outputs, len(outcome.media)), in_memory",
        "            return bytes_of(folder, outcome.outputs), in_memory",
        PROCESS + "test_pictures_that_wait_hold_the_slot_only_when_their_budget_is_spent",
    ),
    Mutant(
        "pictures that are encoded still count",
        "runtime/worker/rules/holding.py",
        "            self._results[dispatch] = (on_disk, self._results[dispatch][1])",
        "            pass",
        PROCESS + "test_what_is_encoded_counts_no_more_though_the_store_is_away",
    ),
    Mutant(
        "room that encoding made is used only when something else happens",
        "gpu_worker/held_attempts.py",
        "        self._rules.holding.keep_less(dispatch, on_disk)\n        self.follow(self._rules.go_on())",
        "        self._rules.holding.keep_less(dispatch, on_disk)",
        PROCESS + "test_what_is_encoded_counts_no_more_though_the_store_is_away",
    ),
    Mutant(
        "pictures stay on disk when they are encoded",
        "gpu_worker/io/encoders.py",
        "        os.unlink(raw_name(place), dir_fd=folder)\n",
        "",
        PROCESS + "test_what_is_encoded_counts_no_more_though_the_store_is_away",
    ),
    Mutant(
        "an encoder that fails is not tried again",
        "gpu_worker/io/encoders.py",
        "TRIES = 2",
        "TRIES = 1",
        PROCESS + "test_an_encoder_that_fails_once_is_tried_again",
    ),
    Mutant(
        "an encoder may take for ever",
        "gpu_worker/io/encoder_process.py",
        "            if left_s <= 0:",
        "            if False:",
        PROCESS + "test_an_encoder_that_fails_twice_fails_the_attempt_in_a_sentence[hang-TimeOut-within 0.5 s]",
    ),
    Mutant(
        "a full disk of ours fails what is encoded",
        "gpu_worker/io/encoders.py",
        "                _check_room(encoded)\n",
        "",
        PROCESS + "test_while_the_disk_is_full_pictures_wait_and_the_node_says_so",
    ),
    Mutant(
        "an encoder goes on when nobody wants its work",
        "gpu_worker/io/encoder_process.py",
        "            look()\n",
        "",
        PROCESS + "test_a_job_that_is_cancelled_while_it_is_encoded_leaves_nothing",
    ),
    Mutant(
        "what waits for an encoder cannot be cancelled",
        "gpu_worker/io/encoders.py",
        "            self._look(look)\n            with",
        "            with",
        PROCESS + "test_a_job_that_is_cancelled_while_it_is_encoded_leaves_nothing",
    ),
    Mutant(
        "a node that ends leaves its encoders",
        "gpu_worker/held_attempts.py",
        "        self._encoders.close()\n",
        "",
        PROCESS + "test_a_node_that_ends_at_once_waits_until_its_encoders_have_ended",
    ),
    Mutant(
        "an encoder has no limit of memory",
        "gpu_worker/io/encoder_wall.py",
        '"address_space": address_space, ',
        "",
        PROCESS + "test_an_encoder_that_fails_twice_fails_the_attempt_in_a_sentence[memory-Exit1-MemoryError]",
    ),
    Mutant(
        "an encoder stands behind no layer",
        "gpu_worker/held_attempts.py",
        "        wall = None if world.confinement is None else EncoderWall(world.confinement)",
        "        wall = None",
        PROCESS + "test_an_encoder_sees_nothing_of_the_node",
    ),
    Mutant(
        "files do not say that a model made them",
        "gpu_worker/io/encoders.py",
        "        for name in one.names:\n            _mark(encoded, name, mark)\n",
        "",
        PROCESS + "test_every_file_says_that_a_model_made_it_which_and_for_which_job",
    ),
    Mutant(
        "what an operator wants shown is not shown",
        "gpu_worker/io/encoders.py",
        "        shown = label(one.width, one.height) if run.visible_mark else None",
        "        shown = None",
        PROCESS + "test_a_picture_shows_that_it_is_generated_where_the_operator_wants_that",
    ),
    Mutant(
        "a slot holds while its attempt is encoded",
        "gpu_worker/rules/node_rules.py",
        "            self._free(attempt)\n        return self._fill_slots()",
        "        return self._fill_slots()",
        PROCESS + "test_the_slot_computes_on_while_an_encoder_works",
    ),
    Mutant(
        "slots may leave more than the disk has",
        "gpu_worker/rules/budgets.py",
        "min(frames_bytes_max, waiting // slots)",
        "frames_bytes_max",
        HANDED + "test_a_disk_has_room_for_what_waits_and_for_what_every_slot_leaves_on_top",
    ),
)

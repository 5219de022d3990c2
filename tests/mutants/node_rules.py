"""Mutants: what a node decides: orders, slots, budgets."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a child is launched before the broker has its Started",
        "gpu_worker/rules/node_rules.py",
        (
            "            if 0 in attempt.run.ranks:\n"
            "                attempt.phase = LocalPhase.STARTING\n"
            "                actions.append(Say(Started(attempt.run.job, dispatch)))"
        ),
        (
            "            if 0 in attempt.run.ranks:\n"
            "                actions.append(Say(Started(attempt.run.job, dispatch)))\n"
            "                actions.append(self._launch(attempt))"
        ),
        "tests/unit/gpu_worker/test_node_rules.py::test_nothing_launches_before_the_ack_of_its_started",
    ),
    Mutant(
        "orders of a scheduler that was replaced are obeyed",
        "gpu_worker/rules/node_rules.py",
        ("        if not self._seen.accept_epoch(order.pool, order.epoch):\n            return []\n"),
        "",
        "tests/unit/gpu_worker/test_node_rules.py::test_an_epoch_lower_than_one_seen_from_that_pool_is_refused",
    ),
    Mutant(
        "an order that is repeated runs again",
        "gpu_worker/rules/node_rules.py",
        ("        if not self._seen.accept_dispatch(run.job, run.dispatch):\n            return []\n"),
        "",
        "tests/unit/gpu_worker/test_node_rules.py::test_a_dispatch_not_greater_than_one_seen_of_the_job_is_a_repeat[1.1.0]",
    ),
    Mutant(
        "orders of a former session are obeyed",
        "gpu_worker/rules/node_rules.py",
        "if order.node != self.node or order.session != self.session:",
        "if order.node != self.node:",
        "tests/unit/gpu_worker/test_node_rules.py::test_orders_to_another_node_or_session_are_ignored[wrong1]",
    ),
    Mutant(
        "a result that was killed while it was stored counts",
        "gpu_worker/rules/node_rules.py",
        (
            "        if attempt.stop_reason is None:\n"
            "            return [*self._release(attempt), Say(report), *self._fill_slots()]"
        ),
        ("        if True:\n            return [*self._release(attempt), Say(report), *self._fill_slots()]"),
        "tests/unit/gpu_worker/test_node_rules.py::test_a_kill_while_outputs_are_stored_wins_over_the_result",
    ),
    Mutant(
        "a node takes more than it says it holds",
        "gpu_worker/rules/node_rules.py",
        "        if not 0 < len(run.ranks) <= self._slots.usable or self._holds_most():",
        "        if not 0 < len(run.ranks) <= self._slots.usable:",
        "tests/unit/gpu_worker/test_node_rules.py::test_more_than_a_node_can_hold_is_given_back",
    ),
    Mutant(
        "a node that is told to stay out joins again",
        "gpu_worker/rules/node_rules.py",
        "        return [*actions, StayOut(reason)]",
        "        return [*actions, JoinAgain()]",
        "tests/unit/gpu_worker/test_node_rules.py::test_a_node_that_is_told_to_stay_out_drops_what_it_holds_without_a_word",
    ),
    Mutant(
        "the budget of results that wait stops nothing",
        "gpu_worker/rules/node_rules.py",
        "while self._ready and self.holding.may_start:",
        "while self._ready:",
        "tests/unit/gpu_worker/test_holding.py::test_when_the_budget_is_spent_what_is_ready_waits_until_a_result_is_stored[100-0]",
    ),
    Mutant(
        "a full disk stops nothing",
        "runtime/worker/rules/holding.py",
        "return not self.is_disk_full and not self._is_budget_spent()",
        "return not self._is_budget_spent()",
        "tests/unit/gpu_worker/test_holding.py::test_nothing_starts_on_a_full_disk_and_all_goes_on_when_there_is_room",
    ),
    Mutant(
        "values that wait in memory have no budget",
        "runtime/worker/rules/holding.py",
        "return on_disk >= self._result_bytes_max or in_memory >= self._value_bytes_max",
        "return on_disk >= self._result_bytes_max",
        "tests/unit/gpu_worker/test_holding.py::test_when_the_budget_is_spent_what_is_ready_waits_until_a_result_is_stored[0-50]",
    ),
    Mutant(
        "a heartbeat does not say what the node waits for",
        "gpu_worker/rules/node_rules.py",
        "            holding=self.holding.reason,\n",
        "",
        "tests/unit/gpu_worker/test_holding.py::test_within_the_budget_the_slot_works_on",
    ),
    Mutant(
        "a heartbeat does not say that a slot is lost",
        "gpu_worker/rules/node_rules.py",
        "-1 if self._slots.usable == len(self._slots) else self._slots.usable",
        "-1",
        "tests/unit/gpu_worker/test_lost_slots.py::test_the_other_slots_go_on_and_the_lost_one_comes_back",
    ),
    Mutant(
        "a lost slot is given away",
        "gpu_worker/rules/node_slots.py",
        "if not holder and slot not in self._lost]",
        "if not holder]",
        "tests/unit/gpu_worker/test_lost_slots.py::test_the_other_slots_go_on_and_the_lost_one_comes_back",
    ),
    Mutant(
        "a lost slot that is regained stays lost",
        "gpu_worker/rules/node_slots.py",
        "        self._lost.discard(slot)",
        "        pass",
        "tests/unit/gpu_worker/test_lost_slots.py::test_the_other_slots_go_on_and_the_lost_one_comes_back",
    ),
    Mutant(
        "what was to follow in a lost slot waits for ever",
        "gpu_worker/rules/node_rules.py",
        "                is_over = is_starting or attempt.run.dispatch == unbegun\n",
        "                is_over = is_starting\n",
        "tests/unit/gpu_worker/test_lost_slots.py::test_an_attempt_that_waits_in_the_lost_slot_is_stopped_there",
    ),
    Mutant(
        "a gang that no slots can run any more waits for ever",
        "gpu_worker/rules/node_rules.py",
        "                is_over = len(attempt.run.ranks) > self._slots.usable\n",
        "                is_over = False\n",
        "tests/unit/gpu_worker/test_lost_slots.py::test_what_the_node_can_no_longer_run_goes_back_and_counts_no_failure",
    ),
    Mutant(
        "an attempt on a disk that others filled has failed",
        "gpu_worker/held_attempts.py",
        "is_our_disk = run.world == 1 and self._is_full_without(slot, run, outcome)",
        "is_our_disk = False",
        "tests/process/gpu_worker/test_agent_outages.py::test_a_disk_that_others_filled_is_no_failure_of_an_attempt",
    ),
    Mutant(
        "actions overtake each other",
        "runtime/worker/rules/action_queue.py",
        "        self._waiting.extend(answer)\n",
        "        self._waiting.extendleft(reversed(list(answer)))\n",
        "tests/unit/gpu_worker/test_action_queue.py::test_what_follows_from_an_action_waits_behind_what_was_answered_before",
    ),
    Mutant(
        "a listing of cached versions has no bound",
        "gpu_worker/rules/cached_versions.py",
        ("                if room < 0:\n                    break\n"),
        "",
        "tests/process/gpu_worker/test_sizes.py::test_the_versions_used_last_are_listed_as_many_as_fit",
    ),
    Mutant(
        "what was about to start in a lost slot waits for ever",
        "gpu_worker/rules/node_rules.py",
        "                is_over = is_starting or attempt.run.dispatch == unbegun\n",
        "                is_over = attempt.run.dispatch == unbegun\n",
        "tests/unit/gpu_worker/test_lost_slots.py::test_an_attempt_that_was_about_to_take_the_lost_slot_goes_back",
    ),
    Mutant(
        "a lost slot drains its whole node",
        "gpu_worker/rules/node_rules.py",
        ('            if is_over:\n                actions += self._stop(attempt, "unclaimed")'),
        ('            if is_over:\n                actions += self._stop(attempt, "drained")'),
        "tests/unit/gpu_worker/test_lost_slots.py::test_what_the_node_can_no_longer_run_goes_back_and_counts_no_failure",
    ),
)

"""Mutants: withdrawn versions, outside the core. (Those of the core: tests/simulation/variants.py.)"""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_API = "tests/unit/api/test_withdrawn.py::"
_ALIASES = "tests/integration/registry/test_aliases.py::"
_COMMAND = "tests/unit/cli/test_withdraw.py::"
_SECOND_BOOK = "tests/unit/audit/test_second_book_versions.py::"
_WAITING = "tests/unit/whatif/test_what_waits_for_ever.py::"

MUTANTS = (
    Mutant(
        "the API takes withdrawn versions",
        "api/submissions.py",
        "if checked.version.withdrawn and",
        "if False and",
        _API + "test_it_is_refused_with_what_else_there_is",
    ),
    Mutant(
        "a key of a job is refused once its version is withdrawn",
        "api/submissions.py",
        "    if checked.version.withdrawn and not is_known:\n",
        "    if checked.version.withdrawn:\n",
        _API + "test_a_key_that_came_before_is_answered_with_its_job",
    ),
    Mutant(
        "the API proposes withdrawn versions",
        "api/catalog.py",
        " if not other.withdrawn]",
        "]",
        _API + "test_it_is_refused_with_what_else_there_is",
    ),
    Mutant(
        "the registry knows of no withdrawal",
        "registry/models.py",
        "        withdrawn=row.withdrawn,\n",
        "",
        _ALIASES + "test_an_alias_on_a_withdrawn_version_is_not_told_to_stay_there",
    ),
    Mutant(
        "an alias is promoted to a withdrawn version",
        "registry/aliases.py",
        "    _refuse_withdrawn(found, alias)\n",
        "",
        _ALIASES + "test_no_alias_comes_to_a_withdrawn_version",
    ),
    Mutant(
        "an alias is rolled back to a withdrawn version",
        "registry/aliases.py",
        "            _refuse_withdrawn(before, alias)\n",
        "            pass\n",
        _ALIASES + "test_no_alias_comes_to_a_withdrawn_version",
    ),
    Mutant(
        "a milder withdrawal is taken for a stricter one",
        "views/withdrawn.py",
        "found is not None and found >= kill",
        "found is not None",
        _ALIASES + "test_a_withdrawal_is_known_as_strictly_as_it_was_asked_for",
    ),
    Mutant(
        "jobs that run are counted among those that wait",
        "views/withdrawn.py",
        "state IN ('queued', 'preparing') AND ",
        "",
        "tests/integration/views/test_queries.py::test_jobs_that_wait_with_a_withdrawn_version_are_counted",
    ),
    Mutant(
        "a version on which an alias is is withdrawn without a word",
        "cli/withdrawals.py",
        "if pointing and not force:",
        "if False:",
        _COMMAND + "test_a_version_on_which_an_alias_is_is_refused_unless_forced",
    ),
    Mutant(
        "a withdrawal is said again and again",
        "cli/withdrawals.py",
        "    if not look():\n",
        "    if True:\n",
        _COMMAND + "test_it_is_said_once_to_the_pool_of_the_model_and_may_become_stricter",
    ),
    Mutant(
        "the operator is not told how many jobs wait",
        "cli/withdrawals.py",
        "    if waiting:\n",
        "    if False:\n",
        _COMMAND + "test_what_becomes_of_jobs_that_wait_is_told",
    ),
    Mutant(
        "a story takes a withdrawal for a cancel",
        "audit/story.py",
        'event.reason == "version_withdrawn"',
        "False",
        _SECOND_BOOK + "test_a_story_says_what_the_withdrawal_did_to_the_job",
    ),
    Mutant(
        "the second book lets withdrawn versions run",
        "audit/verify/second_book_versions.py",
        'self._refuse_withdrawn(event.job, "dispatched")',
        "pass",
        _SECOND_BOOK + "test_a_withdrawn_version_that_is_accepted_dispatched_or_kept_slots_for",
    ),
    Mutant(
        "a shadow begins with withdrawals",
        "whatif/shadow/first_state.py",
        'facts["withdrawn"] = {}',
        "pass",
        _WAITING + "test_what_is_called_back_of_a_withdrawn_version_runs_in_a_shadow",
    ),
    Mutant(
        "a shadow pins nobody anew",
        "whatif/shadow/shadow.py",
        "            first_state.pin(state, self.arrivals.versions_of_jobs(), self._recorder.versions)\n",
        "",
        _WAITING + "test_slots_kept_for_a_gang_are_given_back_when_it_takes_another_version",
    ),
    Mutant(
        "a shadow waits for jobs that wait for a version",
        "whatif/shadow/ledger_jobs.py",
        "if life.version in live.withdrawn and",
        "if False and",
        _WAITING + "test_a_job_that_waits_for_a_version_beyond_the_bound_is_left_out",
    ),
    Mutant(
        "new forecasts keep a simulation going",
        "whatif/simulation/simulation.py",
        "any(not isinstance(event, StartForecast) for event in decision.events)",
        "bool(decision.events)",
        _WAITING + "test_a_pool_that_stays_on_hold_ends_with_its_jobs_open",
    ),
    Mutant(
        "a simulation ticks every 5 s for years",
        "whatif/simulation/simulation.py",
        "TICK_MS << max(0, self._quiet_ticks - RARE_TICKS_AFTER)",
        "TICK_MS",
        _WAITING + "test_waiting_beside_an_attempt_that_runs_for_years_costs_few_ticks",
    ),
    Mutant(
        "a shadow waits for the end of what was killed",
        "whatif/simulation/site.py",
        "if self._arrivals.service_ms[number] < FOREVER_MS",
        "if True",
        _WAITING + "test_what_was_stopped_is_not_waited_for",
    ),
)

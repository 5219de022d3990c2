"""Mutants: what a CPU worker obeys, what it refuses, and what it takes for an outage of ours."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_RULES, _RULES_TEST = "cpu_worker/rules/preparation_rules.py", "tests/unit/cpu_worker/test_preparation_rules.py"
_WORK, _WORK_TEST = "cpu_worker/io/preparation_work.py", "tests/unit/cpu_worker/test_preparing.py"
_SOURCES, _STEPS = "cpu_worker/io/media_sources.py", "cpu_worker/io/patient_steps.py"
_DECODERS, _DECODERS_TEST = "cpu_worker/io/file_decoders.py", "tests/process/cpu_worker/test_file_decoders.py"
_AGENT_TEST = "tests/process/cpu_worker/test_worker_agent.py"
_NEVER = f"{_WORK_TEST}::test_what_can_never_be_prepared_is_refused_in_a_sentence"

MUTANTS = (
    Mutant(
        "a worker obeys orders to others",
        _RULES,
        "        if order.node != self.node or order.session != self.session:\n            return []\n",
        "",
        f"{_RULES_TEST}::test_an_order_that_is_not_for_this_session_changes_nothing",
    ),
    Mutant(
        "a worker obeys a scheduler that was replaced",
        _RULES,
        "        if not self._seen.accept_epoch(order.pool, order.epoch):\n            return []\n",
        "",
        f"{_RULES_TEST}::test_an_order_that_is_not_for_this_session_changes_nothing",
    ),
    Mutant(
        "an order that comes twice counts twice",
        _RULES,
        "        if not self._seen.accept_dispatch(order.job, order.preparation):\n            return []\n",
        "",
        f"{_RULES_TEST}::test_one_order_counts_once_however_often_it_comes",
    ),
    Mutant(
        "two preparations of one job are under way",
        _RULES,
        '            actions += self._drop(held, "")\n        if self.draining:',
        "            pass\n        if self.draining:",
        f"{_RULES_TEST}::test_a_greater_preparation_of_the_job_replaces_what_is_held_without_a_word",
    ),
    Mutant(
        "a Kill that came first is forgotten",
        _RULES,
        "            self._seen.accept_dispatch(kill.job, kill.dispatch)\n",
        "",
        f"{_RULES_TEST}::test_a_kill_that_comes_first_keeps_its_order_from_beginning",
    ),
    Mutant(
        "a Kill is answered",
        _RULES,
        'return [*self._drop(held, ""), *self._begin_next()]',
        'return [*self._drop(held, "killed"), *self._begin_next()]',
        f"{_RULES_TEST}::test_a_kill_ends_at_once_and_nothing_is_ever_said",
    ),
    Mutant(
        "what was abandoned gives up its place at once",
        _RULES,
        "places = self._slots - len(self._abandoned) - ",
        "places = self._slots - ",
        f"{_RULES_TEST}::test_a_kill_ends_at_once_and_nothing_is_ever_said",
    ),
    Mutant(
        "what came of an abandoned preparation is reported",
        _RULES,
        "            return [swept, *self._begin_next()]\n        held = self",
        "            return [swept, *([Say(report)] if report else []), *self._begin_next()]\n        held = self",
        f"{_RULES_TEST}::test_a_kill_ends_at_once_and_nothing_is_ever_said",
    ),
    Mutant(
        "a preparation whose thread ended by a defect stays open for ever",
        _RULES,
        'said = report or PreparationStopped(held.order.job, preparation, "outage")\n'
        "        return [swept, Say(said), ",
        "return [swept, *([Say(report)] if report else []), ",
        f"{_RULES_TEST}::test_a_preparation_of_which_nothing_came_is_given_back",
    ),
    Mutant(
        "a worker holds as many as it is sent",
        _RULES,
        "        if len(self.held) + len(self._abandoned) >= self.held_max:\n",
        "        if False:\n",
        f"{_RULES_TEST}::test_more_than_it_holds_goes_back_at_once_as_never_begun",
    ),
    Mutant(
        "a worker that drains takes work",
        _RULES,
        "        if self.draining:\n"
        '            return [*actions, Say(PreparationStopped(order.job, order.preparation, "drained"))]\n',
        "",
        f"{_RULES_TEST}::test_a_drain_gives_back_what_has_not_begun_and_lets_the_rest_finish",
    ),
    Mutant(
        "a drain ends what is under way",
        _RULES,
        "for held in [held for held in self.held.values() if held.phase is PreparationPhase.WAITING]:",
        "for held in list(self.held.values()):",
        f"{_RULES_TEST}::test_a_drain_gives_back_what_has_not_begun_and_lets_the_rest_finish",
    ),
    Mutant(
        "a full disk or a spent budget stops nothing",
        _RULES,
        "for held in waiting[: max(0, places)] if self.holding.may_start else ():",
        "for held in waiting[: max(0, places)]:",
        f"{_RULES_TEST}::test_nothing_begins_on_a_full_disk_and_all_goes_on_when_there_is_room",
    ),
    Mutant(
        "files of a preparation that ended count for ever",
        _RULES,
        "        self.holding.let_go(preparation)\n",
        "",
        f"{_RULES_TEST}::test_when_the_budget_of_files_is_spent_what_waits_begins_once_a_preparation_has_ended",
    ),
    Mutant(
        "a heartbeat does not say for what the worker waits",
        _RULES,
        "            holding=self.holding.reason,\n",
        "",
        f"{_RULES_TEST}::test_nothing_begins_on_a_full_disk_and_all_goes_on_when_there_is_room",
    ),
    Mutant(
        "an upload need not be complete",
        _SOURCES,
        "        if (ready.tenant, ready.upload) != (self._tenant, upload):\n            raise missing\n",
        "",
        _NEVER,
    ),
    Mutant(
        "bytes that changed since they were recorded are taken",
        _SOURCES,
        "            if sha256 and found != sha256:\n",
        "            if False:\n",
        _NEVER,
    ),
    Mutant(
        "a transfer that was cut is a verdict",
        _SOURCES,
        '                return SILENT if looks < LOOKS_MAX else ""\n            return _cause(error)',
        '                return ""\n            return _cause(error)',
        f"{_WORK_TEST}::test_a_transfer_that_was_cut_once_is_no_verdict",
    ),
    Mutant(
        "an upload of any size is fetched",
        _SOURCES,
        "        if size > wanted.rule.bytes_max:\n            raise _too_large(wanted)\n",
        "",
        _NEVER,
    ),
    Mutant(
        "a name server that is away refuses the user's media",
        _SOURCES,
        "                if refused.trouble is EgressTrouble.RESOLVER and rest_s is None:\n"
        "                    raise PreparationOutage from None\n",
        "",
        f"{_WORK_TEST}::test_a_name_server_that_is_away_is_an_outage",
    ),
    Mutant(
        "a URL's trouble never passes",
        _SOURCES,
        "if not refused.is_passing or rest_s is None:",
        "if True:",
        f"{_WORK_TEST}::test_a_url_that_comes_back_is_fetched_from_its_beginning",
    ),
    Mutant(
        "what a try of a URL left stands before the next try's bytes",
        _SOURCES,
        'with path.open("wb") as file:',
        'with path.open("ab") as file:',
        f"{_WORK_TEST}::test_a_url_that_comes_back_is_fetched_from_its_beginning",
    ),
    Mutant(
        "a payload is prepared whatever the version's schema says",
        "cpu_worker/io/version_inputs.py",
        "        if fault is not None:\n",
        "        if False:\n",
        _NEVER,
    ),
    Mutant(
        "a store that is away is waited for without end",
        _STEPS,
        "return self.time.is_over or self._waits.now_s() >= ends_s",
        "return self.time.is_over",
        f"{_WORK_TEST}::test_a_store_that_stays_away_is_an_outage_and_no_refusal",
    ),
    Mutant(
        "time that an outage of ours took refuses the media",
        _STEPS,
        "            self.time.met_outage = self.time.met_outage or bool(found)\n",
        "",
        f"{_WORK_TEST}::test_time_that_an_outage_of_ours_took_is_not_the_medias",
    ),
    Mutant(
        "a defect of ours leaves the preparation open",
        _WORK,
        "        except Exception as error:  # a defect of ours says nothing of the media, and must not leave the job"
        " open\n",
        "        except KeyboardInterrupt as error:\n",
        f"{_WORK_TEST}::test_a_disk_or_a_program_of_ours_that_fails_is_an_outage",
    ),
    Mutant(
        "a refusal is reported without its sentence in the store",
        _WORK,
        "            PreparedObjects(self._tools.store, order, steps).put_refusal(str(refusal))\n",
        "            pass\n",
        f"{_WORK_TEST}::test_what_the_decoder_refuses_is_refused_with_its_sentence",
    ),
    Mutant(
        "a file is decoded before the others were looked at",
        _WORK,
        "            self._decoder.check(each, source)\n",
        "            pass\n",
        f"{_WORK_TEST}::test_a_file_that_is_no_medium_is_refused_before_any_of_them_is_decoded",
    ),
    Mutant(
        "originals are kept whatever the policy says",
        _WORK,
        "            if order.keep_sources:\n",
        "            if True:\n",
        f"{_WORK_TEST}::test_an_upload_is_fetched_checked_decoded_and_stored_and_its_manifest_is_the_last_object",
    ),
    Mutant(
        "a manifest can be guessed from its digest",
        _WORK,
        "secrets.token_hex(16)",
        '"0" * 32',
        f"{_WORK_TEST}::test_no_two_manifests_have_the_same_digest",
    ),
    Mutant(
        "a refusal of what nobody wants is stored",
        _WORK,
        "        if self._time.is_abandoned:\n            return None\n",
        "",
        f"{_WORK_TEST}::test_what_is_abandoned_while_it_is_refused_says_nothing",
    ),
    Mutant(
        "a decoder that crashed once refuses the file",
        _DECODERS,
        "TRIES = 2\n",
        "TRIES = 1\n",
        f"{_DECODERS_TEST}::test_a_process_that_ended_without_an_answer_is_tried_once_more",
    ),
    Mutant(
        "a decoder leaves what it started",
        _DECODERS,
        "        os.killpg(process.pid, signal.SIGKILL)\n",
        "        process.kill()\n",
        f"{_DECODERS_TEST}::test_a_decoder_that_hangs_ends_with_all_it_started_once_nobody_waits",
    ),
    Mutant(
        "a decoder that says much takes the worker's memory",
        _DECODERS,
        "        while len(said) <= LINE_BYTES_MAX:\n",
        "        while True:\n",
        f"{_DECODERS_TEST}::test_a_file_that_ends_the_decoder_twice_is_refused_in_a_sentence",
    ),
    Mutant(
        "a preparation leaves its files on the disk",
        "cpu_worker/held_preparations.py",
        "                self._scratch.clean(preparation)\n",
        "                pass\n",
        f"{_AGENT_TEST}::test_it_tells_each_phase_and_reports_once_all_is_stored",
    ),
    Mutant(
        "a Kill does not reach the thread that works",
        "cpu_worker/held_preparations.py",
        "                self._times[preparation].abandon()\n",
        "                pass\n",
        f"{_AGENT_TEST}::test_a_kill_ends_it_at_once_without_a_word_and_the_next_begins",
    ),
    Mutant(
        "phases that follow soon are not told",
        "cpu_worker/held_preparations.py",
        "fraction, word, is_phase=True)",
        "fraction, word)",
        f"{_AGENT_TEST}::test_it_tells_each_phase_and_reports_once_all_is_stored",
    ),
)

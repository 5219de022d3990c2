"""Mutants: join tokens, rotation and revocation of keys, and who is shown as the actor."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_ACTORS = "tests/unit/views/test_actors.py"
_AT_NODE = "tests/unit/runtime/worker/test_join_token.py"
_CHANGE = "tests/unit/local/test_key_change.py"
_HEARD = "tests/unit/api/test_heard.py"
_REVOCATION = "tests/unit/cli/test_revocation.py"
_ROTATION = "tests/unit/cli/test_key_rotation.py"
_STACK = "tests/unit/local/test_composition.py"
_TOKENS = "tests/unit/streams/test_join_tokens.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a token is good for as long as it says",
        "contract/join_tokens.py",
        "until_ms if until_ms <= at_ms + TOKEN_LIFE_MAX_MS else 0",
        "until_ms",
        f"{_TOKENS}::test_a_token_that_is_not_this_nodes_is_good_for_nothing[for longer than a day]",
    ),
    Mutant(
        "a token by any key is good",
        "contract/join_tokens.py",
        "hmac.compare_digest(_mac(key, cluster, node, until_ms).encode(), match[3])",
        "True",
        f"{_TOKENS}::test_a_token_that_is_not_this_nodes_is_good_for_nothing[with a later end]",
    ),
    Mutant(
        "a token is looked at by the newest key alone",
        "streams/door/signatures.py",
        "            self._verifier.keys, record.headers",
        "            self._verifier.keys[:1], record.headers",
        f"{_TOKENS}::test_a_machine_joins_with_a_good_token_and_comes_back_without_one",
    ),
    Mutant(
        "the host looks at no token",
        "streams/door/jobs_door.py",
        "signatures.token_until_ms(record, body) if signer else 0",
        "0",
        f"{_TOKENS}::test_a_machine_joins_with_a_good_token_and_comes_back_without_one",
    ),
    Mutant(
        "a machine that is new needs no token",
        "scheduling/state/access.py",
        "    if state.policy is None or not state.policy.join_tokens or record.token_until_ms >= record.at_ms:",
        "    if True:",
        f"{_TOKENS}::test_a_key_that_was_copied_lets_no_other_machine_in",
    ),
    Mutant(
        "every record of a node carries its token",
        "runtime/worker/report_sender.py",
        "if isinstance(record, NodeJoined) and self._node.join_token:",
        "if self._node.join_token:",
        f"{_AT_NODE}::test_the_join_alone_carries_the_token",
    ),
    Mutant(
        "no record of a node carries its token",
        "runtime/worker/report_sender.py",
        "if isinstance(record, NodeJoined) and self._node.join_token:",
        "if False:",
        f"{_AT_NODE}::test_the_join_alone_carries_the_token",
    ),
    Mutant(
        "the setting of a token takes any text, and shows it",
        "runtime/settings.py",
        "        if token and not join_tokens.is_token(token):",
        "        if False:",
        f"{_AT_NODE}::test_the_setting_takes_a_token_and_shows_it_to_nobody",
    ),
    Mutant(
        "a node of the stack has the token of its first start",
        "local/program.py",
        "        if self._join_token is not None:",
        '        if self._join_token is not None and variable_of("join_token") not in (process.env or {}):',
        f"{_STACK}::test_a_node_gets_a_join_token_of_its_own_at_each_start",
    ),
    Mutant(
        "a node that is kept out asks twice a second",
        "local/parts.py",
        "        if process is not None and process.exit_status in (REFUSED, NOT_CONFINED):",
        "        if False:",
        "tests/process/local/test_parts.py::test_a_node_that_is_kept_out_rests_for_as_long_as_a_part_may",
    ),
    Mutant(
        "a token is made for as long as asked",
        "cli/nodes.py",
        "    if life_ms > join_tokens.TOKEN_LIFE_MAX_MS:",
        "    if False:",
        "tests/unit/cli/test_join_tokens.py::test_none_is_made_for_longer_than_a_day_or_for_what_is_no_node",
    ),
    Mutant(
        "a tenant reads an operator's name",
        "views/actors.py",
        '    return OPERATOR if signer.partition(".")[0] == OPERATOR else ""',
        "    return signer",
        f"{_ACTORS}::test_each_sees_what_is_theirs[operator.ada]",
    ),
    Mutant(
        "the views do not know who asked for a job's end",
        "views/job_fold.py",
        '            getattr(event, "actor", ""),\n',
        "",
        f"{_ACTORS}::test_the_views_know_who_asked_for_what",
    ),
    Mutant(
        "the views do not know who applied the policy",
        "views/pool_fold.py",
        'actor = event.actor if isinstance(event, e.PolicyAdopted) else ""',
        'actor = ""',
        f"{_ACTORS}::test_the_views_know_who_asked_for_what",
    ),
    Mutant(
        "a pool that was released is held by somebody",
        "views/pool_fold.py",
        'self.held_by = event.actor if self.held else ""',
        "self.held_by = event.actor",
        f"{_ACTORS}::test_the_views_know_who_asked_for_what",
    ),
    Mutant(
        "all parts have the keys that they were started with",
        "local/composition.py",
        "        self._keys = tuple(keys)\n        self.settings = self._settings()\n",
        "",
        f"{_STACK}::test_another_key_starts_anew_whom_it_matters_to_and_the_scheduler_first",
    ),
    Mutant(
        "a third key ends the first one's time",
        "local/installation_key.py",
        "    if len(keys) > 1:",
        "    if False:",
        f"{_ROTATION}::test_both_keys_are_in_force_until_nobody_signs_by_the_old_one",
    ),
    Mutant(
        "the old key goes while parts sign by it",
        "cli/key_rotation.py",
        "    if old.parts:",
        "    if False:",
        f"{_ROTATION}::test_both_keys_are_in_force_until_nobody_signs_by_the_old_one",
    ),
    Mutant(
        "the old key goes while others sign by it",
        "cli/key_rotation.py",
        "    if late:",
        "    if False:",
        f"{_ROTATION}::test_both_keys_are_in_force_until_nobody_signs_by_the_old_one",
    ),
    Mutant(
        "the old key goes while records by it may be unread",
        "cli/key_rotation.py",
        "    if not running.running:",
        "    if False:",
        f"{_ROTATION}::test_a_key_that_leaked_goes_at_once_and_no_key_goes_unread",
    ),
    Mutant(
        "an operator revokes itself",
        "cli/revocation.py",
        "    if signer == own:",
        "    if False:",
        f"{_REVOCATION}::test_what_cannot_be_done_is_said_and_nothing_is_applied",
    ),
    Mutant(
        "any signer is revoked",
        "cli/revocation.py",
        "    fault = fault_of_revoked(signer)",
        '    fault = ""',
        f"{_REVOCATION}::test_what_cannot_be_done_is_said_and_nothing_is_applied",
    ),
    Mutant(
        "a policy of one pool is applied to all",
        "cli/revocation.py",
        '    if len({entry["fingerprint"] for entry in found}) != 1:',
        "    if not found:",
        f"{_REVOCATION}::test_several_policies_in_force_are_not_made_one",
    ),
    Mutant(
        "nobody says by which key a record was signed",
        "streams/door/signatures.py",
        "        SIGNED.labels(key_id, signers.role_of(signer)).set_to_current_time()\n",
        "",
        "tests/unit/streams/test_signatures.py::test_a_key_that_was_replaced_is_refused_and_during_the_rotation_it_is_not",
    ),
    Mutant(
        "nobody says who signs by a key that is gone",
        "streams/door/signatures.py",
        "                self._tell(record)\n",
        "                pass\n",
        "tests/unit/streams/test_signatures.py::test_a_key_that_was_replaced_is_refused_and_during_the_rotation_it_is_not",
    ),
    Mutant(
        "parts get another key though the scheduler does not run again",
        "local/supervisor.py",
        "            if not self._renew(part, program, stopping):",
        "            if not self._renew(part, program, stopping) and False:",
        f"{_CHANGE}::test_while_the_scheduler_does_not_run_again_nobody_signs_by_a_key_that_it_may_not_know",
    ),
    Mutant(
        "every part starts anew whatever has changed",
        "local/supervisor.py",
        "            if isinstance(part.server, StackProgram) and part.server.is_as(program):",
        "            if False:",
        f"{_CHANGE}::test_they_start_anew_one_after_another_and_commands_sign_by_the_new_key",
    ),
    Mutant(
        "commands sign by the key of the start",
        "local/supervisor.py",
        (
            "                return\n            replace(self._layout.settings,"
            " msgspec.json.encode(composition.settings.environment()), mode=0o600)\n"
        ),
        "                return\n",
        f"{_CHANGE}::test_they_start_anew_one_after_another_and_commands_sign_by_the_new_key",
    ),
    Mutant(
        "a file of keys that is gone replaces them all",
        "local/installation_key.py",
        "        if mark is None or mark == self._seen:",
        "        if mark == self._seen:",
        f"{_CHANGE}::test_a_file_that_cannot_be_read_or_is_gone_changes_nothing",
    ),
    Mutant(
        "an API that nobody hears is as good as any",
        "api/readiness.py",
        "            return self._taken()\n",
        "            return OK\n",
        f"{_HEARD}::test_readiness_says_so_and_the_process_stays_in_service",
    ),
    Mutant(
        "of many jobs the newest is looked at, which nobody has read yet",
        "api/heard.py",
        "        self._written.setdefault(pool, written)",
        "        self._written[pool] = written",
        f"{_HEARD}::test_a_job_that_was_read_and_is_none_is_told_until_another_is_taken",
    ),
    Mutant(
        "an API that was not heard once never is",
        "api/heard.py",
        "                self._unheard.pop(pool, None)",
        "                pass",
        f"{_HEARD}::test_a_job_that_was_read_and_is_none_is_told_until_another_is_taken",
    ),
    Mutant(
        "nobody moved an alias",
        "registry/relay.py",
        'row.move, actor_name(row.moved_by or "")',
        "row.move",
        "tests/unit/registry/test_relay.py::test_a_pool_whose_partition_has_no_leader_holds_up_its_own_rows_only",
    ),
    Mutant(
        "what a revoked operator tried is no act",
        "audit/acts.py",
        "            if isinstance(event, said.InputQuarantined):",
        "            if False:",
        "tests/unit/audit/test_acts.py::test_each_act_has_its_actor_and_what_nobody_signed_has_none",
    ),
)

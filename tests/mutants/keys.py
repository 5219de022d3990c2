"""Mutants: join tokens, rotation and revocation of keys, and who is shown as the actor."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_ACTORS = "tests/unit/views/test_actors.py"
_AT_NODE = "tests/unit/runtime/worker/test_join_token.py"
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
)

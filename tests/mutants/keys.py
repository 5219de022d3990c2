"""Mutants: join tokens, rotation and revocation of keys, and who is shown as the actor."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_TOKENS = "tests/unit/streams/test_join_tokens.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a token is good for any node",
        "contract/join_tokens.py",
        'f"{until_ms} {node_signer(cluster, node)}".encode()',
        'f"{until_ms}".encode()',
        f"{_TOKENS}::test_a_token_that_is_not_this_nodes_is_good_for_nothing[of another node]",
    ),
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
)

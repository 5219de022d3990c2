"""Mutants: who may do what: tokens, lists in policies, for whom a signer speaks, the second book of all that, and what
a what-if makes of it. The rules of the core have mutants of their own (tests/unit/scheduling/mutants_access.py)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_TOKENS = "tests/unit/contract/test_join_tokens.py"
_CODEC = "tests/unit/contract/test_codec.py"
_DOCUMENT = "tests/unit/contract/test_policy_document.py"
_BOOK = "audit/verify/second_book_access.py"
_FOUND = "tests/unit/audit/test_second_book_access.py::test_what_the_policy_does_not_let_anybody_do_is_found"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a token is made with a key that every node can derive for itself",
        "contract/join_tokens.py",
        "hmac.digest(key.for_tokens(),",
        "hmac.digest(key.of(node_signer(cluster, node)).secret,",
        f"{_TOKENS}::test_a_token_is_made_of_names_and_has_its_form_for_ever",
    ),
    Mutant(
        "the time of a token is not part of it",
        "contract/join_tokens.py",
        'f"{until_ms} {node_signer(cluster, node)}".encode()',
        "node_signer(cluster, node).encode()",
        f"{_TOKENS}::test_nobody_makes_a_token_without_the_installations_key",
    ),
    Mutant(
        "a token may last for ever",
        "contract/join_tokens.py",
        "return until_ms if until_ms <= at_ms + TOKEN_LIFE_MAX_MS else 0",
        "return until_ms",
        f"{_TOKENS}::test_a_token_that_would_last_too_long_is_none",
    ),
    Mutant(
        "of two tokens one counts",
        "contract/join_tokens.py",
        "if len(found) == 1 else None",
        "if found else None",
        f"{_TOKENS}::test_one_header_alone_counts",
    ),
    Mutant(
        "anything stands for whom a signer speaks",
        "contract/codec.py",
        'if (by := getattr(record, "by", "")) and not ACTOR_NAME.fullmatch(by):',
        'if (by := getattr(record, "by", "")) and not by:',
        f"{_CODEC}::test_for_whom_a_record_is_said_is_a_login_or_the_id_of_a_key[CancelRequested-a:b]",
    ),
    Mutant(
        "a node that lacks what we have no word for lacks nothing",
        "contract/codec.py",
        "layers = (missing or LAYERS) if said.layers_missing else ()",
        "layers = missing if said.layers_missing else ()",
        f"{_CODEC}::test_layers_that_are_missing_are_ours_in_one_order[said3-taken3]",
    ),
    Mutant(
        "any signer may be revoked by a policy",
        "contract/policy_check.py",
        "if is_signer(signer) and role_of(signer) in (OPERATOR, NODE):",
        "if is_signer(signer):",
        f"{_DOCUMENT}::test_a_fault_names_its_line",
    ),
    Mutant(
        "a list may name somebody twice",
        "contract/policy_check.py",
        "if len(set(members)) < len(members):",
        "if False:",
        f"{_DOCUMENT}::test_a_fault_names_its_line",
    ),
    Mutant(
        "a list of a policy may have any order",
        "contract/policy_check.py",
        "elif list(members) != sorted(members):",
        "elif False:",
        f"{_DOCUMENT}::test_lists_of_names_mean_the_same_in_any_order",
    ),
    Mutant(
        "a list of a policy has any length",
        "contract/policy_check.py",
        "if len(members) > LIST_MAX:",
        "if False:",
        f"{_DOCUMENT}::test_lists_of_names_have_an_end",
    ),
    Mutant(
        "lists in a document keep their order",
        "contract/policy_document.py",
        "return tuple(sorted(_text(entry) for entry in node.value))",
        "return tuple(_text(entry) for entry in node.value)",
        f"{_DOCUMENT}::test_lists_of_names_mean_the_same_in_any_order",
    ),
    Mutant(
        "the book does not ask whose word it was",
        _BOOK,
        '        if self._is_revoked(self._signer(node)):\n            self._find("I10", f"{name} by',
        '        if False:\n            self._find("I10", f"{name} by',
        f"{_FOUND}[a revoked node drains]",
    ),
    Mutant(
        "the book forgets nodes that were put out",
        _BOOK,
        'self._former.get(node, ("", ""))[0]',
        '""',
        f"{_FOUND}[a revoked node counts as heard though it was put out]",
    ),
    Mutant(
        "the book does not ask who is sent what",
        _BOOK,
        '            if self._is_revoked(self._signer(node)):\n                self._find("I3"',
        '            if False:\n                self._find("I3"',
        f"{_FOUND}[a revoked node gets work]",
    ),
    Mutant(
        "the book does not ask for tokens",
        _BOOK,
        "if policy.join_tokens and not is_known and given.token_until_ms < given.at_ms:",
        "if policy.join_tokens and not is_known and not given.token_until_ms:",
        f"{_FOUND}[a new machine is admitted by a token that had ended]",
    ),
    Mutant(
        "the book does not ask for layers",
        _BOOK,
        "if join.layers_missing and not policy.trusted_models:",
        "if False:",
        f"{_FOUND}[a node without all layers is admitted where models are not trusted]",
    ),
    Mutant(
        "the book takes any actor",
        _BOOK,
        'elif hasattr(event, "actor") and actor not in self._actors(asked):',
        "elif False:",
        f"{_FOUND}[no actor, though somebody signed]",
    ),
    Mutant(
        "the book takes what a revoked operator asked",
        _BOOK,
        "elif all(self._is_revoked(given.signer) for given in asked):",
        "elif False:",
        f"{_FOUND}[what a revoked operator asked is done]",
    ),
    Mutant(
        "the book lets a trial change access",
        _BOOK,
        "for field in ACCESS if before is not None and on_trial else ():",
        "for field in ():",
        f"{_FOUND}[a reversal changes who may do what]",
    ),
    Mutant(
        "the book lets an old policy change access",
        _BOOK,
        "        if changed and not self._is_fresh(event):",
        "        if False:",
        f"{_FOUND}[an old policy changes who may do what]",
    ),
    Mutant(
        "a story names signers alone",
        "audit/story.py",
        '        if actor := getattr(event, "actor", ""):\n            return f"; by order of {actor}"\n',
        "",
        "tests/unit/audit/test_second_book_access.py::test_a_story_names_whose_request_came_first",
    ),
    Mutant(
        "a what-if asks machines for tokens that nobody recorded",
        "whatif/simulation/simulation.py",
        "self.fleet, self.costs = let_in(policy), arrivals, fleet, costs",
        "self.fleet, self.costs = policy, arrivals, fleet, costs",
        "tests/unit/whatif/test_access.py::test_machines_are_there_whatever_the_changed_policy_asks_of_them",
    ),
    Mutant(
        "a what-if does what a revoked operator asked for",
        "whatif/recorded.py",
        "            if record.offset in undone:\n                continue\n",
        "",
        "tests/unit/whatif/test_access.py::test_a_node_that_was_put_out_leaves_and_what_a_revoked_operator_asked_does_not_happen",
    ),
    Mutant(
        "a node that was put out stays in a what-if",
        "whatif/recorded.py",
        "            said.NodeDeparted: self._left,\n",
        "",
        "tests/unit/whatif/test_access.py::test_a_node_that_was_put_out_leaves_and_what_a_revoked_operator_asked_does_not_happen",
    ),
    Mutant(
        "a shadow drains nodes for layers",
        "whatif/shadow/first_state.py",
        '        node["layers_missing"] = ()',
        "        pass",
        "tests/unit/whatif/test_access.py::test_a_shadow_begins_with_machines_as_they_are",
    ),
    Mutant(
        "nobody looks whether a machine that joined by a token had one",
        "audit/verify/jobs_topic.py",
        "        if entry.token_until_ms != until_ms:",
        "        if False:",
        "tests/unit/audit/test_verify_jobs.py::test_a_join_token_that_its_record_does_not_have_is_found",
    ),
    Mutant(
        "a session of old is told to rejoin where a namesake was",
        "scheduling/attempts/orders.py",
        "    if past is not None and order.session == past.sessions[-1]:",
        "    if past is not None and order.session in past.sessions:",
        "tests/unit/scheduling/test_node_names.py::test_a_session_of_old_is_told_to_rejoin_wherever_it_listens",
    ),
)

"""Mutants: nobody takes everybody's share of an API process."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_KEY_TEXT = "tests/unit/registry/test_key_text.py"

MUTANTS = (
    Mutant(
        "the database is asked for keys that were copied wrongly",
        "registry/keys.py",
        "        return _sum_of(secret[:-_SUM_CHARACTERS]) == secret[-_SUM_CHARACTERS:]",
        "        return True",
        f"{_KEY_TEXT}::test_a_key_that_was_copied_wrongly_is_known_by_its_sum",
    ),
    Mutant(
        "keys of older releases are refused",
        "registry/keys.py",
        "    return _OLD.fullmatch(secret) is not None",
        "    return False",
        f"{_KEY_TEXT}::test_keys_of_older_releases_are_asked_for",
    ),
    Mutant(
        "any text is asked for as a key",
        "api/callers.py",
        "    if not keys.could_be(secret):",
        "    if not secret.startswith(keys.PREFIX):",
        "tests/unit/api/test_requests.py::test_what_is_no_key_is_refused_and_not_quoted[Bearer hr_abc]",
    ),
)

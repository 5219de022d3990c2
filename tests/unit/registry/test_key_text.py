"""The text of a key tells a key that somebody copied wrongly, before anybody asks the database."""

from __future__ import annotations

import re
import secrets

import pytest

from registry import keys


def test_a_key_has_its_id_its_secret_and_a_sum() -> None:
    id, secret = keys.draw()
    assert re.fullmatch(keys.PATTERN, secret)
    assert secret.split("_")[:2] == ["hr", id.removeprefix("key_")]
    assert keys.could_be(secret)
    assert keys.draw()[1] != secret


def test_a_key_that_was_copied_wrongly_is_known_by_its_sum() -> None:
    _, secret = keys.draw()
    for place in range(len("hr_"), len(secret)):
        other = "0" if secret[place] != "0" else "1"
        assert not keys.could_be(secret[:place] + other + secret[place + 1 :])
    assert not keys.could_be(secret[:-1])
    assert not keys.could_be(secret + "0")


@pytest.mark.parametrize(
    "text", ["", "hr_", "hr_abc", "hr_" + "\u00fc" * 43, "hr_" + "x" * 10_000, "sk_" + "x" * 43, "hr_\n"]
)
def test_what_nobody_made_is_no_key(text: str) -> None:
    assert not keys.could_be(text)


def test_keys_of_older_releases_are_asked_for() -> None:
    assert keys.could_be("hr_" + secrets.token_urlsafe(32))

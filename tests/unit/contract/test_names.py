from __future__ import annotations

import pytest

from contract import names


@pytest.mark.parametrize("good", ["main", "a", "eu-west-1", "v1.2_x", "0"])
def test_names(good: str) -> None:
    assert names.is_name(good)


@pytest.mark.parametrize("bad", ["", "Main", "-a", "a-", "a b", "a/b", "x" * 64, "é", "a\n"])
def test_no_names(bad: str) -> None:
    assert not names.is_name(bad)


def test_the_same_request_has_the_same_id_and_names_its_pool() -> None:
    first = names.job_id_of_event("eu-west", "acme", "//shop", "42")
    assert first == names.job_id_of_event("eu-west", "acme", "//shop", "42")
    assert names.pool_of(first) == "eu-west"


def test_ids_differ_where_any_part_differs() -> None:
    ids = {
        names.job_id_of_event("main", "acme", "ab", "c"),
        names.job_id_of_event("main", "acme", "a", "bc"),
        names.job_id_of_event("main", "acm", "eab", "c"),
        names.job_id_of_key("main", "acme", "abc"),
    }
    assert len(ids) == 4


def test_pool_of_refuses_what_is_no_job_id() -> None:
    with pytest.raises(ValueError, match="expected a job id"):
        names.pool_of("main-xyz")


def test_model_references() -> None:
    digest = "sha256:" + "0" * 64
    assert names.parse_model("shapes") == ("shapes", "live", "")
    assert names.parse_model("shapes@next") == ("shapes", "next", "")
    assert names.parse_model(f"shapes@{digest}") == ("shapes", "", digest)
    with pytest.raises(ValueError, match="expected 'model'"):
        names.parse_model("shapes@sha256:12")


def test_dispatch_ids_sort_as_numbers() -> None:
    assert names.dispatch_order(names.dispatch_id(2, 0, 0)) > names.dispatch_order(names.dispatch_id(1, 99, 99))
    assert names.dispatch_order("1.10.0") > names.dispatch_order("1.9.5")


def test_payload_digest_depends_on_its_salt() -> None:
    words = b'{"prompt":"x"}'
    assert names.payload_digest("00" * 16, words) != names.payload_digest("01" * 16, words)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ""),
        ("ada", "ada"),
        ("ada@lab.example+1", "ada@lab.example+1"),
        ("ada lovelace", "ada_lovelace"),
        ("-ada", "_ada"),
        ("\u00e9va:x\n", "_va_x_"),
        ("a" * 101, "a" * 100),
        (".", "_"),
    ],
)
def test_any_login_makes_the_name_of_an_actor(text: str, name: str) -> None:
    assert names.actor_name(text) == name
    assert not name or names.ACTOR_NAME.fullmatch(name)

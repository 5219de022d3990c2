"""A join token is for one node of one cluster, for a short time, by a key of this installation."""

from __future__ import annotations

import pytest

from contract.join_tokens import JOIN_TOKEN_HEADER, TOKEN_LIFE_MAX_MS, good_until_ms, is_token, make
from contract.signing import InstallationKey

KEY, OLD, FOREIGN = (InstallationKey(bytes([number]) * 32) for number in (1, 2, 3))
AT_MS = 1_700_000_000_000
UNTIL_MS = AT_MS + 60_000
TOKEN = make(KEY, "east", "n1", UNTIL_MS)
GOLDEN = "1700000060000.1af56925.939ca24ee58c9ebad245176cfa795f319045ccc6920e4f5bb4082c8563a59f9c"


def until(*tokens: str, cluster: str = "east", node: str = "n1", at_ms: int = AT_MS) -> int:
    headers = [(JOIN_TOKEN_HEADER, token.encode()) for token in tokens]
    return good_until_ms((KEY, OLD), headers, cluster, node, at_ms)


def test_a_token_is_good_for_its_node_until_it_ends() -> None:
    assert until(TOKEN) == UNTIL_MS
    assert until(make(OLD, "east", "n1", UNTIL_MS)) == UNTIL_MS, "two keys are in force during a rotation"
    assert until(TOKEN, at_ms=UNTIL_MS + 1) == UNTIL_MS, "the rules compare it with the record's time, not the host"


def test_a_token_is_no_good_for_another_node_or_cluster() -> None:
    assert until(TOKEN, node="n2") == 0
    assert until(TOKEN, cluster="west") == 0
    dotted = make(KEY, "a", "b.c", UNTIL_MS)
    assert until(dotted, cluster="a.b", node="c") == 0


def test_nobody_makes_a_token_without_the_installations_key() -> None:
    assert until(make(FOREIGN, "east", "n1", UNTIL_MS)) == 0
    ms, key_id, mac = TOKEN.split(".")
    assert until(f"{int(ms) + 1}.{key_id}.{mac}") == 0, "nor makes one last longer"
    assert until(f"{ms}.{OLD.id}.{mac}") == 0
    assert KEY.for_tokens() not in (KEY.secret, KEY.of("node.east/n1").secret), "a node's own key makes none"


def test_a_token_that_would_last_too_long_is_none() -> None:
    longest = AT_MS + TOKEN_LIFE_MAX_MS
    assert until(make(KEY, "east", "n1", longest)) == longest
    assert until(make(KEY, "east", "n1", longest + 1)) == 0
    assert until(make(KEY, "east", "n1", longest + 1), at_ms=AT_MS + 1) == longest + 1, "from its append on"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "token",
        TOKEN + " ",
        TOKEN.upper(),
        "0" + TOKEN,
        "-" + TOKEN,
        TOKEN + "\n",
        "9" * 17 + TOKEN[13:],
        "\u0661" + TOKEN[1:],
    ],
)
def test_what_has_not_the_form_of_a_token_is_none(text: str) -> None:
    assert until(text) == 0
    assert not is_token(text)


def test_one_header_alone_counts() -> None:
    assert until() == 0
    assert until(TOKEN, TOKEN) == 0
    assert good_until_ms((KEY,), [(JOIN_TOKEN_HEADER, None)], "east", "n1", AT_MS) == 0
    assert good_until_ms((KEY,), [("another", TOKEN.encode())], "east", "n1", AT_MS) == 0
    assert good_until_ms((), [(JOIN_TOKEN_HEADER, TOKEN.encode())], "east", "n1", AT_MS) == 0


def test_a_token_is_made_of_names_and_has_its_form_for_ever() -> None:
    assert is_token(TOKEN)
    assert TOKEN == GOLDEN
    for cluster, node in (("East", "n1"), ("east", "n/1"), ("", "n1")):
        with pytest.raises(ValueError, match="expected the names of a cluster and a node"):
            make(KEY, cluster, node, UNTIL_MS)

"""Whatever a user names, and whatever a server answers, is taken or refused with a sentence."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from runtime.egress.answer import EgressAnswer
from runtime.egress.refusal import EgressRefused
from runtime.egress.url import egress_url, redirected

SCHEMES = frozenset({"https", "http"})
PIECES = st.text(st.sampled_from("htps:/@[]%0x17.abzé。１-?#\\\t ;_~ßא"), max_size=40)
TEXTS = st.one_of(
    st.text(max_size=30),
    st.builds("https://{}".format, PIECES),
    st.builds("https://a.example/{}".format, st.text(max_size=20)),
)
NAMES = st.sampled_from([b"Content-Type", b"content-length", b"location", b"content-encoding", b"transfer-encoding"])
VALUES = st.one_of(st.binary(max_size=12), st.sampled_from([b"5", b"video/mp4", b"chunked", b"identity"]))


@given(TEXTS)
def test_a_url_that_is_taken_has_one_form(text: str) -> None:
    try:
        url = egress_url(text, SCHEMES)
    except EgressRefused:
        return
    line = url.target.decode("ascii")
    assert line.startswith("/")
    assert line.isprintable()
    assert " " not in line
    assert egress_url(f"{url.scheme}://{url.authority}{line}", SCHEMES) == url


@given(TEXTS)
def test_a_redirect_is_taken_or_refused(location: str) -> None:
    with suppress(EgressRefused):
        egress_url(redirected(egress_url("https://a.example:9000/x?y", SCHEMES), location), SCHEMES)


@given(st.integers(100, 599) | st.just(200), st.lists(st.tuples(NAMES, VALUES)))
def test_an_answer_is_taken_or_refused(status: int, headers: list[tuple[bytes, bytes]]) -> None:
    answer = EgressAnswer(status, headers)
    with suppress(EgressRefused):
        answer.location()
    with suppress(EgressRefused):
        assert answer.check(["video/*"], 10).startswith("video/")

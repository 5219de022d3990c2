"""What the command says of answers that are not the API's: a gateway's redirects, pages and errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cli import api_client
from cli.api_client import ApiClient
from cli.errors import FAILED, WRONG_USE, CommandFailed


def client(monkeypatch: pytest.MonkeyPatch, answer: httpx.Response) -> ApiClient:
    """Of an API at a prefix, whatever is asked."""

    def made(url: str, **options: Any) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(lambda request: answer), **options)

    monkeypatch.setattr(api_client, "http_client", made)
    return ApiClient("http://api.example.com/headrace", "hr_secret")


REDIRECT = httpx.Response(301, headers={"Location": "https://api.example.com/headrace/v1/jobs"})
PAGE = httpx.Response(200, text="<h1>Sign in</h1>", headers={"Content-Type": "text/html"})
PROBLEM = {"title": "Unknown job", "detail": "you have no job with this id"}


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (
            REDIRECT,
            FAILED,
            "expected the API at http://api.example.com/headrace/v1/jobs, found a redirect to"
            " https://api.example.com/headrace/v1/jobs, and no key is sent there; set HEADRACE_API_URL",
        ),
        (PAGE, FAILED, "expected a JSON object of the API at http://api.example.com/headrace, found text/html"),
        (httpx.Response(502, text="<h1>Bad Gateway</h1>"), FAILED, "the API answered 502 Bad Gateway"),
        (httpx.Response(503, json=["no", "backend"]), FAILED, "the API answered 503 Service Unavailable"),
        (httpx.Response(404, json=PROBLEM), WRONG_USE, "Unknown job: you have no job with this id"),
    ],
)
def test_what_is_not_the_apis_answer_is_said_in_a_sentence(
    answer: httpx.Response, code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandFailed) as failed:
        client(monkeypatch, answer).get("/v1/jobs")
    assert str(failed.value).startswith(says)
    assert failed.value.code == code


@pytest.mark.parametrize(
    ("no_proxy", "says"),
    [
        (
            "",
            "no API answers at http://api.example.com/headrace through the proxy that HTTP_PROXY names (ConnectError)",
        ),
        ("api.example.com", "no API answers at http://api.example.com/headrace (ConnectError); start it with"),
    ],
)
def test_who_did_not_answer_is_said_truly(no_proxy: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    for name in ("http_proxy", "ALL_PROXY", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    asked = client(monkeypatch, PAGE)
    asked._http = httpx.Client(transport=httpx.MockTransport(away), base_url=asked.url)
    with pytest.raises(CommandFailed) as failed:
        asked.get("/v1/jobs")
    assert str(failed.value).startswith(says)


def test_an_api_that_is_slow_is_not_called_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("timed out")

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    asked = client(monkeypatch, PAGE)
    asked._http = httpx.Client(transport=httpx.MockTransport(slow), base_url=asked.url)
    with pytest.raises(
        CommandFailed, match="has taken the request and not answered within 30 s; see `headrace status`"
    ):
        asked.get("/v1/jobs")


def test_a_redirected_stream_is_no_empty_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandFailed, match="found a redirect to https"):
        list(client(monkeypatch, REDIRECT).events("/v1/jobs/main-1/events"))


def event(number: int, state: str) -> bytes:
    return f'event: state\nid: {number}.0\ndata: {{"state": "{state}"}}\n\n'.encode()


class Cut(httpx.SyncByteStream):
    """A stream that ends in the middle."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


def asked_in_turn(monkeypatch: pytest.MonkeyPatch, *answers: httpx.Response | Exception) -> tuple[ApiClient, list[str]]:
    """A client whose requests are answered in turn, and the places after which events were asked for."""
    monkeypatch.setattr(api_client, "AGAIN_S", 0)
    places: list[str] = []
    left = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        places.append(request.headers.get("Last-Event-ID", ""))
        found = next(left)
        if isinstance(found, Exception):
            raise found
        return found

    asked = client(monkeypatch, PAGE)
    asked._http = httpx.Client(transport=httpx.MockTransport(answer), base_url=asked.url)
    return asked, places


def test_a_stream_goes_on_when_it_is_cut_or_its_server_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """`jobs submit --wait` said that a job had failed which ran, because the API was started anew."""
    asked, places = asked_in_turn(
        monkeypatch,
        httpx.Response(200, content=event(1, "queued")),
        httpx.Response(200, content=b""),
        httpx.ConnectError("refused"),
        httpx.Response(200, stream=Cut(event(2, "started"))),
        httpx.Response(200, content=event(3, "succeeded")),
        httpx.Response(204),
    )
    assert [data["state"] for _, data in asked.events("/e")] == ["queued", "started", "succeeded"]
    assert places == ["", "1.0", "1.0", "1.0", "2.0", "3.0"]


def test_what_happened_so_far_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, places = asked_in_turn(monkeypatch, httpx.Response(200, content=event(1, "queued")))
    assert len(list(asked.events("/e", follow=False))) == len(places) == 1


def test_an_api_that_does_not_come_back_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "AGAIN_WITHIN_S", -1)
    asked, places = asked_in_turn(
        monkeypatch, httpx.Response(200, content=event(1, "queued")), httpx.ConnectError("refused")
    )
    with pytest.raises(CommandFailed, match="no API answers at"):
        list(asked.events("/e"))
    never, places = asked_in_turn(monkeypatch, httpx.ConnectError("refused"))
    with pytest.raises(CommandFailed, match="no API answers at"):
        list(never.events("/e"))
    assert places == [""]


def test_a_text_that_is_not_there_is_none_and_other_troubles_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert client(monkeypatch, httpx.Response(200, text="wörds")).text("/x") == "wörds"
    assert client(monkeypatch, httpx.Response(404, json=PROBLEM)).text("/x") is None
    with pytest.raises(CommandFailed, match="the job's words were erased"):
        client(
            monkeypatch, httpx.Response(410, json={"title": "Job erased", "detail": "the job's words were erased"})
        ).text("/x")

"""The HTTP API as the command uses it: one client, problems turned into sentences, events as a stream."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from cli.errors import CommandFailed, WrongUse
from contract.bounds import visible
from runtime.http_client import http_client
from runtime.proxies import chosen_proxy

Document = dict[str, Any]

ANSWER_WITHIN_S = 30.0
SILENT_S = 60.0
"""A stream on which nothing came for so long is cut: the API sends something every 15 s (api.events)."""
AGAIN_S, AGAIN_WITHIN_S = 1.0, 60.0
EVENT_ID_MAX = 200
"""An id goes back to the API as a header."""
_OF_STREAMS = httpx.Timeout(ANSWER_WITHIN_S, read=SILENT_S)


class PieceNotTaken(CommandFailed):
    """A piece of an upload did not arrive."""

    def __init__(self, said: str, status: int) -> None:
        super().__init__(f"{said}; run this again, and it goes on with what has not arrived")
        self.status = status
        """Of the answer; 0: there was none."""

    @property
    def passes(self) -> bool:
        """Whether sending it again may help."""
        return self.status in (0, 408, 429) or self.status >= 500


class ApiClient:
    """A session with the API at `url` under one key. Every failure is a CommandFailed with the words of the API."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = http_client(url, base_url=url, headers=headers, timeout=ANSWER_WITHIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Document:
        return self._call("GET", path, params={name: v for name, v in query.items() if v is not None})

    def text(self, path: str) -> str | None:
        """The text at the path; None when there is none (404)."""
        answer = self._answer("GET", path)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if not answer.is_success:
            raise _failure(answer)
        return answer.text

    def post(self, path: str, body: Document, headers: dict[str, str] | None = None) -> Document:
        return self._call("POST", path, json=body, headers=headers)

    def delete(self, path: str) -> Document:
        return self._call("DELETE", path)

    def put_piece(self, piece: Document, blocks: Iterator[bytes]) -> None:
        """Send a piece of an upload: to the object store by its link, else through the API. PieceNotTaken."""
        length = {"Content-Length": str(piece["bytes"])}
        try:
            if piece["url"]:
                with http_client(piece["url"], timeout=ANSWER_WITHIN_S) as linked:
                    answer = linked.put(piece["url"], content=blocks, headers=piece["headers"] | length)
                said = f"the object store answered {answer.status_code}"
            else:
                answer = self._http.put(piece["data"], content=blocks, headers=length)
                said = "" if answer.is_success else str(_failure(answer))
        except httpx.TransportError as error:
            raise PieceNotTaken(f"the upload was interrupted ({type(error).__name__})", 0) from None
        if not answer.is_success:
            raise PieceNotTaken(said, answer.status_code)

    def events(self, path: str, *, follow: bool = True) -> Iterator[tuple[str, Document]]:
        """(name, data) of each server-sent event, until the server says that no more will come; without `follow` of
        those that it has now. A stream that was cut, or whose server was stopped, goes on after the last event that was
        seen, if the API answers again within AGAIN_WITHIN_S."""
        last_id, heard_s = "", float("-inf")
        while True:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            is_open = is_news = False
            try:
                with self._http.stream(
                    "GET", path, params=None if follow else {"follow": "false"}, headers=headers, timeout=_OF_STREAMS
                ) as answer:
                    if answer.status_code == HTTPStatus.NO_CONTENT:
                        return
                    if not answer.is_success:
                        answer.read()
                        raise _failure(answer)
                    is_open = True
                    for name, data, event_id in _server_sent(answer.iter_lines(), self.url):
                        is_news = is_news or event_id != last_id  # the same events again are no reason to hurry
                        last_id = event_id or last_id
                        yield name, data
                if not follow:
                    return
            except httpx.TransportError as error:
                if not is_open and time.monotonic() - heard_s > AGAIN_WITHIN_S:
                    raise self._unreachable(error) from None
            if is_open:
                heard_s = time.monotonic()
            if not is_news:
                time.sleep(AGAIN_S)

    def download(self, url: str, path: Path) -> None:
        """Streams a result file to `path`."""
        try:
            with http_client(url, timeout=ANSWER_WITHIN_S) as client, client.stream("GET", url) as answer:
                if answer.is_error:
                    raise CommandFailed(f"the object store answered {answer.status_code} for {path.name}; try again")
                with path.open("wb") as file:
                    for chunk in answer.iter_bytes():
                        file.write(chunk)
        except httpx.TransportError as error:
            raise CommandFailed(f"{path.name} could not be fetched from the object store: {error}") from None
        except OSError as error:
            raise WrongUse(f"cannot write {path}: {error.strerror}; give another --output") from None

    def _call(self, method: str, path: str, **options: Any) -> Document:
        answer = self._answer(method, path, **options)
        if not answer.is_success:
            raise _failure(answer)
        return _document(answer.content, self.url, answer.headers.get("Content-Type", ""))

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> CommandFailed:
        proxy = chosen_proxy(self.url)
        if proxy is not None:
            return CommandFailed(
                f"no API answers at {self.url} through the proxy that {proxy.variable} names ({type(error).__name__});"
                " see whether that proxy works, or add the API's host to NO_PROXY"
            )
        if isinstance(error, httpx.ReadTimeout):
            return CommandFailed(
                f"the API at {self.url} has taken the request and not answered within {ANSWER_WITHIN_S:.0f} s; see"
                " `headrace status`, and try again"
            )
        return CommandFailed(
            f"no API answers at {self.url} ({type(error).__name__}); start it with `headrace up`, or name another by"
            " HEADRACE_API_URL or --data"
        )


def _failure(answer: httpx.Response) -> CommandFailed:
    if answer.is_redirect:
        there = answer.headers["Location"]
        return CommandFailed(
            f"expected the API at {answer.url}, found a redirect to {there}, and no key is sent there; set"
            " HEADRACE_API_URL to the address that the API has"
        )
    try:
        problem = _document(answer.content, "")
        words = f"{problem.get('title', answer.reason_phrase)}: {problem.get('detail', '')}".strip(": ")
    except CommandFailed:  # a gateway's own words
        words = ""
    words = visible(words or f"the API answered {answer.status_code} {answer.reason_phrase}")
    wrong_use = answer.status_code in (400, 404, 413, 422)
    return WrongUse(words) if wrong_use else CommandFailed(words)


def _document(raw: bytes | str, url: str, claim: str = "") -> Document:
    """The JSON object in these bytes. CommandFailed: something else than the API answered, such as a gateway's page."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise CommandFailed(
            f"expected a JSON object of the API at {url}, found {visible(claim)[:80] or 'other bytes'};"
            " HEADRACE_API_URL may name another server, or a page in front of the API"
        )
    return document


def _server_sent(lines: Iterator[str], url: str) -> Iterator[tuple[str, Document, str]]:
    name, event_id = "message", ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield name, _document("\n".join(data), url), event_id
            name, event_id, data = "message", "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "id":
            if not (value.isascii() and value.isprintable() and len(value) <= EVENT_ID_MAX):
                raise CommandFailed(
                    f"expected an event id of the API at {url}, found {visible(value[:80])}; HEADRACE_API_URL may name"
                    " another server"
                )
            event_id = value
        elif field == "data":
            data.append(value)

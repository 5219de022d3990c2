"""Doors of the command line: its inputs, and what answers where it expects the API."""

from __future__ import annotations

from random import Random
from unittest.mock import patch

import httpx
import msgspec

from cli import api_client, job_inputs
from cli.api_client import ApiClient
from cli.errors import CommandFailed, WrongUse
from contract.codec import decode_values
from tests.fuzz.door import Door
from tests.fuzz.mutations import changed, mostly_good, written

Answer = tuple[int, bytes]
PAGE = b"<html><head><title>502 Bad Gateway</title></head></html>"


def answer(chance: Random) -> Answer:
    """What comes from the address of the API: the API's answer, a gateway's page, or half of either."""
    status = chance.choice((200, 200, 200, 200, 200, 202, 404, 422, 503))
    good = {"job": "main-1", "state": "queued"} if status < 400 else {"title": "T", "detail": "expected a, found b"}
    body = mostly_good(chance, msgspec.json.encode(good))
    return status, chance.choice((*(body,) * 9, PAGE))


def events(chance: Random) -> Answer:
    frames = [b'id: 1.%d\nevent: state\ndata: {"state":"queued"}\n\n' % n for n in range(chance.randint(1, 4))]
    raw = b": still here\n\nretry: 2000\n\n" + b"".join(frames)
    return 200, raw if chance.random() < 0.5 else changed(chance, raw)


def client_of(given: Answer) -> ApiClient:
    """A client of an API that answers so, and says from then on that no more will come."""
    answers = iter([given])
    client = object.__new__(ApiClient)
    client.url = "http://127.0.0.1:8470"

    def answer_to(_: httpx.Request) -> httpx.Response:
        status, body = next(answers, (204, b""))
        return httpx.Response(status, content=body)

    transport = httpx.MockTransport(answer_to)
    client._http = httpx.Client(base_url=client.url, transport=transport)
    return client


def feed_answer(given: Answer) -> bool:
    with client_of(given) as client:
        document = client.get("/v1/jobs/x")
    return isinstance(document, dict) and not document.get("odd")


def feed_events(given: Answer) -> bool:
    with client_of(given) as client, patch.object(api_client, "AGAIN_S", 0.0):
        return all(isinstance(data, dict) for _, data in client.events("/v1/jobs/x/events"))


SCHEMA = {
    "type": "object",
    "properties": {"prompt": {"type": "string"}, "n": {"type": "integer"}, "on": {"type": "boolean"}},
}
PAIRS = ("prompt=a ball", "n=7", "on=true", "extra:=[1, 2]", "x=", "prompt=ü")
ODD_PAIRS = (
    "n=x",
    "n=" + "9" * 5_000,
    "n=1e999",
    "n=nan",
    "on=yes",
    "=",
    ":=1",
    "x:={",
    "x:=1e999",
    "p=\udce9",
    "x:=" + "[" * 3_000,
)


def pairs(chance: Random) -> list[str]:
    made = chance.sample(PAIRS, chance.randint(1, 4))
    return made + ([chance.choice(ODD_PAIRS)] if chance.random() < 0.4 else [])


def feed_pairs(given: list[str]) -> bool:
    decode_values(written(job_inputs.read(given, None, SCHEMA)), "inputs")
    return True


DOORS = (
    Door(
        "answers, by the command line",
        answer,
        feed_answer,
        ("cli.api_client.ApiClient",),
        (CommandFailed, WrongUse),
        80_000,
    ),
    Door("event streams, by the command line", events, feed_events, ("cli.api_client._server_sent",), (CommandFailed,)),
    Door("inputs of a command line", pairs, feed_pairs, ("cli.job_inputs.read",), (WrongUse,)),
)

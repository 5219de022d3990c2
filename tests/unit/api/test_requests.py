"""What is read of a request: keys, ids, traces, tiers, JSON."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest
from starlette.requests import Request
from starlette.types import Message

from api import request_body
from api.__main__ import listen_on
from api.bodies import SubmitRequest
from api.callers import require_possible, secret_of
from api.events import frame, last_seen
from api.problems import Problem
from api.request_body import decode, read_body
from api.submissions import idempotency_key, tier_of, trace_of
from contract.policy import Policy, Tier
from registry import keys
from registry.keys import Key
from tests.waiting import within

POLICY = Policy({"free": Tier(1), "api": Tier(1)}, {}, {})


SECRET = keys.draw()[1]


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "Bearer   "])
def test_a_key_is_read_from_the_authorization_header(scheme: str) -> None:
    assert secret_of(f"{scheme}{SECRET} ") == SECRET


@pytest.mark.parametrize(
    "header",
    [None, "", SECRET, f"Basic {SECRET}", "Bearer ", "Bearer abc", "Bearer hr_abc", "Bearer hr_" + "x" * 300],
    ids=[
        "none",
        "empty",
        "a bare key",
        "basic",
        "no key",
        "a word",
        "too short",
        "too long",
    ],  # SECRET differs in each worker
)
def test_what_is_no_key_is_refused_and_not_quoted(header: str | None) -> None:
    with pytest.raises(Problem) as caught:
        require_possible(secret_of(header))
    assert caught.value.status == 401
    assert "abc" not in caught.value.detail


def test_the_tier_is_the_keys_first_or_the_one_asked_for() -> None:
    key = Key("id", "acme", ("api", "free"), "user")
    assert tier_of(key, POLICY, None) == "api"
    assert tier_of(key, POLICY, "free") == "free"


@pytest.mark.parametrize(
    ("tiers", "asked", "status", "code"),
    [
        (("api",), "free", 403, "tier-not-yours"),
        (("api",), "silver", 422, "unknown-tier"),
        (("silver",), None, 422, "unknown-tier"),
        ((), None, 403, "no-tier"),
    ],
)
def test_a_tier_that_is_not_to_be_had(tiers: tuple[str, ...], asked: str | None, status: int, code: str) -> None:
    with pytest.raises(Problem) as caught:
        tier_of(Key("id", "acme", tiers, "user"), POLICY, asked)
    assert (caught.value.status, caught.value.code) == (status, code)


def test_a_valid_trace_is_passed_on_and_another_is_begun() -> None:
    valid = "00-" + "a1" * 16 + "-" + "b2" * 8 + "-00"
    assert trace_of(valid) == valid
    for broken in ("", "x", valid + "\r\nEvil: 1", "00-" + "0" * 32 + "-" + "b2" * 8 + "-01"):
        begun = trace_of(broken)
        assert begun != broken
        assert trace_of(begun) == begun


def test_an_idempotency_key_is_printable_and_short() -> None:
    assert idempotency_key(None) == ""
    assert idempotency_key("order-17/é".replace("é", "e")) == "order-17/e"
    for broken in ("", " ", "a b", "é", "x" * 256):
        with pytest.raises(Problem):
            idempotency_key(broken)


def test_an_event_id_is_seq_and_index() -> None:
    assert last_seen("") == (-1, -1)
    assert last_seen("12.3") == (12, 3)
    for broken in ("12", "a.b", "1.2.3", "-1.0", "9" * 30 + ".0"):
        with pytest.raises(Problem):
            last_seen(broken)


def test_an_event_on_the_wire() -> None:
    assert frame("state", b'{"a":1}', "12.0").encode() == b'id: 12.0\nevent: state\ndata: {"a":1}\n\n'
    assert frame("progress", b"{}").encode() == b"event: progress\ndata: {}\n\n"


def test_inputs_keep_the_bytes_they_came_as() -> None:
    decoder = msgspec.json.Decoder(SubmitRequest)
    asked = decode(decoder, b'{"model":"m","inputs":{ "b" : 1.50,"a":"\\u00e9" }}')
    assert bytes(asked.inputs) == b'{ "b" : 1.50,"a":"\\u00e9" }'


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "truncated"),
        (b'{"model":"m",,}', 400, "byte 13"),
        (b'{"model":"m","inputs":{"p":"\xff"}}', 400, "byte 28"),
        (b'{"model":"m","inputs":{"p":"\\ud83d"}}', 422, "half a surrogate pair"),
        (b'{"model":"\\ude00","inputs":{}}', 422, "half a surrogate pair"),
        (b'{"model":"m","inputs":{"p":"\\ud83d\\ude00"}', 400, "truncated"),
        (b'{"model":1,"inputs":{}}', 422, "$.model"),
        (b'{"model":"m","inputs":{},"tire":"free"}', 422, "`tire`"),
    ],
)
def test_a_fault_of_a_body_has_its_place(body: bytes, status: int, says: str) -> None:
    with pytest.raises(Problem) as caught:
        decode(msgspec.json.Decoder(SubmitRequest), body)
    assert caught.value.status == status
    assert says in caught.value.detail


def test_values_nested_too_deeply_are_refused() -> None:
    deep = b'{"model":"m","inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(Problem) as caught:
        decode(msgspec.json.Decoder(SubmitRequest), deep)
    assert caught.value.status == 422
    assert "at most 64 deep" in caught.value.detail


def read(claim: str | None, body: bytes = b'{"model": "noop"}', **headers: str) -> bytes:
    """The body of a request that claims to be of this type."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    claims = headers if claim is None else headers | {"content-type": claim}
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in claims.items()]
    return asyncio.run(read_body(Request({"type": "http", "method": "POST", "headers": raw}, receive), 100))


@pytest.mark.parametrize(
    "claim",
    [
        None,
        "",
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/vnd.acme.order+json",
        "application/x-www-form-urlencoded",  # what curl says of any -d
    ],
)
def test_json_is_taken_whatever_it_is_called(claim: str | None) -> None:
    assert read(claim, b' {"model": "noop"}') == b' {"model": "noop"}'


@pytest.mark.parametrize(
    ("claim", "body", "code"),
    [
        ("text/plain", b"{}", "not-json"),
        ("multipart/form-data; boundary=x", b"--x", "not-json"),
        ("application/x-www-form-urlencoded", b"model=noop&inputs=%7B%7D", "not-json"),
        ("application/x-www-form-urlencoded", b"", "not-json"),
        ("application/json; charset=iso-8859-1", b"{}", "not-utf-8"),
        ('application/json; profile=x; Charset = "UTF-16"', b"{}", "not-utf-8"),
    ],
)
def test_what_claims_to_be_other_than_json_in_utf8_is_refused(claim: str, body: bytes, code: str) -> None:
    with pytest.raises(Problem) as caught:
        read(claim, body)
    assert (caught.value.status, caught.value.code) == (415, code)


@pytest.mark.parametrize("length", ["101", "9" * 5_000])
def test_a_body_that_is_said_to_be_too_long_is_not_read(length: str) -> None:
    with pytest.raises(Problem) as caught:
        read("application/json", content_length=length)
    assert caught.value.status == 413


def test_connections_do_not_wait_for_an_ack_before_the_body() -> None:
    """asyncio sets TCP_NODELAY only on sockets whose protocol is named; accepted ones take it from the listener."""

    async def nodelay() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        class Accepting(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted = transport.get_extra_info("socket")
                found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        listener = listen_on("127.0.0.1", 0)
        server = await asyncio.get_running_loop().create_server(Accepting, sock=listener)
        async with server:
            _, writer = await asyncio.open_connection(*listener.getsockname())
            answer = await found
            writer.close()
            await writer.wait_closed()
            return answer

    assert asyncio.run(nodelay())


def test_a_port_has_one_owner_from_the_moment_it_is_bound() -> None:
    with listen_on("127.0.0.1", 0) as owner, pytest.raises(OSError, match="in use"):
        listen_on(*owner.getsockname())


def test_a_body_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "BODY_S", 0.001)

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(Problem) as caught:
        asyncio.run(within(5, read_body(request, 100)))
    assert (caught.value.status, caught.value.code) == (408, "body-too-slow")

"""The guard, in memory: what it connects to, what it takes, and what it says when it does neither."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from ipaddress import ip_network
from typing import Any

import httpcore
import pytest

from runtime.egress.egress import Egress, Fetched, process_egress
from runtime.egress.policy import EgressLimits, EgressPolicy, PrivatePrefix
from runtime.egress.refusal import EgressCancelled, EgressRefused, EgressTrouble
from runtime.egress.resolver import Resolver
from tests.twin.scripted_network import Script, ScriptedNetwork, SteppedClock, http_answer
from tests.waiting import PATIENCE_S

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
BODY = b"frames" * 1000
NAMES = {"a.example": ["9.9.9.9"], "b.example": ["9.9.9.8"], "in.example": ["10.0.0.7"]}


class Scene:
    """A guard, and the world around it."""

    def __init__(
        self,
        serve: Callable[[str], Script] = lambda _: [http_answer(BODY)],
        *,
        names: dict[str, list[str]] = NAMES,
        policy: EgressPolicy = EgressPolicy(),
        limits: EgressLimits = EgressLimits(),
        tls: Exception | float = 0.0,
        bytes_max: int = 1_000_000,
    ) -> None:
        self.clock = SteppedClock()
        self.network = ScriptedNetwork(self.clock, serve, tls=tls)
        self.looked_up: list[str] = []
        self.names = dict(names)
        self.taken = b""
        self.bytes_max = bytes_max
        self.egress = Egress(
            policy, limits, tls=TLS, resolver=Resolver(self._lookup), network=self.network, clock=self.clock
        )

    def _lookup(self, host: str) -> Sequence[str]:
        self.looked_up.append(host)
        found = self.names[host]
        self.names[host] = found[1:] + found[:1]  # as servers of names do
        return found

    def fetch(
        self, url: str = "https://a.example/clip.mp4", types: Sequence[str] = ("video/mp4", "image/*")
    ) -> Fetched:
        return self.egress.fetch(url, self._sink, bytes_max=self.bytes_max, types=types)

    def refused(self, url: str = "https://a.example/clip.mp4", **asked: Any) -> EgressRefused:
        with pytest.raises(EgressRefused) as refused:
            self.fetch(url, **asked)
        sentence = str(refused.value)
        assert sentence.startswith("expected ")
        tells = [*self.names, *(each for found in self.names.values() for each in found), "secret", "9000"]
        assert [told for told in tells if told in sentence] == []
        return refused.value

    def _sink(self, piece: bytes) -> None:
        self.taken += piece


def answering(*answers: bytes) -> Callable[[str], Script]:
    """A server that answers each connection with the next of these."""
    left = iter(answers)
    return lambda _: [next(left)]


def for_ever(first: bytes, *then: bytes | float) -> Iterator[bytes | float]:
    yield first
    while True:
        yield from then


def redirect(location: str, status: int = 302) -> bytes:
    return http_answer(status=status, location=location, x_secret="secret")


def test_what_was_fetched_is_passed_on_piece_by_piece_with_its_digest() -> None:
    scene = Scene()
    assert scene.fetch() == (len(BODY), sha256(BODY).hexdigest(), "video/mp4")
    assert scene.taken == BODY


def test_the_checked_address_is_connected_to_and_asked_by_the_original_name() -> None:
    scene = Scene()
    scene.fetch("https://A.example./clip.mp4?part=%2F1#x")
    assert scene.network.connected == [("9.9.9.9", 443)]
    assert (scene.network.names, scene.network.contexts) == (["a.example"], [TLS])
    lines = scene.network.heard[0].split(b"\r\n")
    assert lines[0] == b"GET /clip.mp4?part=%2F1 HTTP/1.1"
    assert {b"Host: a.example", b"Accept-Encoding: identity", b"Accept: video/mp4, image/*"} <= set(lines)
    assert not [line for line in lines if line.lower().startswith((b"cookie", b"authorization", b"range"))]
    assert scene.network.closed > 0


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://10.0.0.1:3128")
        monkeypatch.setenv(name.lower(), "http://10.0.0.1:3128")
    scene = Scene()
    scene.fetch()
    assert scene.network.connected == [("9.9.9.9", 443)]


def test_a_name_is_asked_for_once_so_a_second_answer_never_counts() -> None:
    scene = Scene()
    answers = iter([["9.9.9.9"], ["127.0.0.1"]])
    resolver = Resolver(lambda _: next(answers))
    egress = Egress(EgressPolicy(), tls=TLS, resolver=resolver, network=scene.network, clock=scene.clock)
    egress.fetch("https://a.example/", lambda _: None, bytes_max=10_000, types=["video/mp4"])
    assert scene.network.connected == [("9.9.9.9", 443)]
    assert next(answers) == ["127.0.0.1"]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.7"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1%eth0"],
        ["64:ff9b::a9fe:a9fe"],
        ["9.9.9.9", "10.0.0.7"],
        ["9.9.9.9", "9.9.9.8", "9.9.9.7", "9.9.9.6", "127.0.0.1"],
    ],
)
def test_one_address_that_is_not_public_refuses_the_name(addresses: list[str]) -> None:
    scene = Scene(names={"a.example": addresses})
    assert scene.refused().trouble is EgressTrouble.HOST
    assert scene.network.connected == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:7f00:1]", "2130706433", "0x7f.1", "127.1", "10.0.0.7"],
)
def test_addresses_in_a_url_are_never_looked_up(host: str) -> None:
    scene = Scene()
    assert scene.refused(f"https://{host}/").trouble is EgressTrouble.HOST
    assert (scene.looked_up, scene.network.connected) == ([], [])


def test_what_does_not_resolve_is_inside_or_has_another_port_is_one_sentence() -> None:
    def nobody(_: str) -> Sequence[str]:
        raise OSError("no such name")

    scene = Scene()
    lost = Egress(EgressPolicy(), tls=TLS, resolver=Resolver(nobody), network=scene.network)
    with pytest.raises(EgressRefused) as refused:
        lost.fetch("https://a.example/", lambda _: None, bytes_max=1, types=["video/mp4"])
    sentences = {str(refused.value), str(scene.refused("https://in.example/"))}
    sentences |= {str(scene.refused("https://a.example:9000/")), str(scene.refused("https://127.1/"))}
    assert len(sentences) == 1
    assert scene.network.connected == []


def test_a_policy_lets_users_reach_a_private_store() -> None:
    policy = EgressPolicy(prefixes=(PrivatePrefix("store", ip_network("10.0.0.0/24"), frozenset({9443})),))
    scene = Scene(policy=policy)
    scene.fetch("https://in.example:9443/clip.mp4")
    assert scene.network.connected == [("10.0.0.7", 9443)]
    assert b"Host: in.example:9443" in scene.network.heard[0]
    assert scene.refused("https://in.example/").trouble is EgressTrouble.HOST


def test_the_next_address_is_tried_when_one_is_away_and_all_failures_are_one_sentence() -> None:
    def serve(address: str) -> Script:
        if address != "9.9.9.7":
            raise httpcore.ConnectError(f"{address} refused")
        return [http_answer(BODY)]

    scene = Scene(serve, names={"a.example": ["9.9.9.9", "9.9.9.8", "9.9.9.7", "9.9.9.6"]})
    scene.fetch()
    assert [address for address, _ in scene.network.connected] == ["9.9.9.9", "9.9.9.8", "9.9.9.7"]
    gone = Scene(serve, names={"a.example": ["9.9.9.9", "9.9.9.8", "9.9.9.6", "9.9.9.7"]})
    refusals = [gone.refused(), Scene(tls=60.0).refused(), Scene(tls=ssl.SSLError("9.9.9.9")).refused()]
    refusals.append(Scene(lambda _: [httpcore.ReadError("secret")]).refused())
    assert {refusal.trouble for refusal in refusals} == {EgressTrouble.UNREACHABLE}
    assert len({str(refusal) for refusal in refusals}) == 1
    assert all(refusal.is_passing for refusal in refusals)


def test_a_certificate_for_another_name_is_refused() -> None:
    refusal = Scene(tls=ssl.SSLCertVerificationError("secret")).refused()
    assert (refusal.trouble, refusal.is_passing) == (EgressTrouble.CERTIFICATE, False)


class TestRedirects:
    def test_each_is_checked_and_resolved_from_the_beginning(self) -> None:
        scene = Scene(answering(redirect("https://b.example/other"), redirect("/last", 307), http_answer(BODY)))
        scene.fetch()
        assert scene.looked_up == ["a.example", "b.example", "b.example"]
        assert [address for address, _ in scene.network.connected] == ["9.9.9.9", "9.9.9.8", "9.9.9.8"]
        assert [heard.split()[1] for heard in scene.network.heard] == [b"/clip.mp4", b"/other", b"/last"]
        assert b"Host: b.example" in scene.network.heard[1]

    @pytest.mark.parametrize(
        "location",
        [
            "https://in.example/",
            "https://127.0.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::ffff:10.0.0.7]/",
            "https://2130706433/",
            "https://a.example:9000/",
            "//in.example/",
            "http://a.example/",
            "file:///etc/passwd",
            "https://user:secret@a.example/",
            "https://[",
            "gopher://a.example/",
        ],
    )
    def test_none_leads_where_the_url_may_not(self, location: str) -> None:
        scene = Scene(answering(redirect(location)))
        scene.refused()
        assert scene.network.connected == [("9.9.9.9", 443)]
        assert scene.taken == b""

    def test_none_leads_from_https_to_http(self) -> None:
        policy = EgressPolicy(ports=frozenset({80, 443}), allows_http=True)
        scene = Scene(answering(redirect("http://a.example/"), http_answer(BODY)), policy=policy)
        assert scene.refused().trouble is EgressTrouble.REDIRECT
        scene = Scene(answering(redirect("http://b.example/"), http_answer(BODY)), policy=policy)
        scene.fetch("http://a.example/")
        assert scene.network.connected == [("9.9.9.9", 80), ("9.9.9.8", 80)]

    def test_they_are_few(self) -> None:
        scene = Scene(lambda _: [redirect("/again")])
        assert scene.refused().trouble is EgressTrouble.REDIRECT
        assert len(scene.network.connected) == 4

    @pytest.mark.parametrize("answer", [http_answer(status=302), redirect("/a\n/b")])
    def test_they_name_one_url(self, answer: bytes) -> None:
        assert Scene(answering(answer)).refused().trouble is EgressTrouble.REDIRECT


class TestAnswers:
    @pytest.mark.parametrize("status", [201, 204, 206, 304, 400, 404])
    def test_all_but_200_are_refused(self, status: int) -> None:
        refusal = Scene(answering(http_answer(BODY, status))).refused()
        assert (refusal.trouble, refusal.status, refusal.is_passing) == (EgressTrouble.STATUS, status, False)

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_server_that_is_busy_may_be_asked_again(self, status: int) -> None:
        assert Scene(answering(http_answer(b"", status))).refused().is_passing

    @pytest.mark.parametrize("kind", ["text/html", "", "video/mp4x", "image", "video/mp4\ntext/html", "video/*"])
    def test_other_types_are_refused_before_the_body(self, kind: str) -> None:
        scene = Scene(answering(http_answer(BODY, content_type=kind)))
        assert scene.refused().trouble is EgressTrouble.TYPE
        assert scene.taken == b""

    @pytest.mark.parametrize("kind", ["Video/MP4; codecs=avc1", "image/png"])
    def test_types_of_the_list_are_taken(self, kind: str) -> None:
        assert Scene(answering(http_answer(BODY, content_type=kind))).fetch().bytes == len(BODY)

    @pytest.mark.parametrize("coding", ["gzip", "identity, br", "identity\ndeflate", "x-secret"])
    def test_a_compression_bomb_is_never_opened(self, coding: str) -> None:
        bomb = gzip.compress(b"\0" * 10_000_000, 1)
        scene = Scene(answering(http_answer(bomb, content_encoding=coding)))
        assert scene.refused().trouble is EgressTrouble.ENCODING
        assert scene.taken == b""

    def test_a_bomb_that_is_not_said_to_be_compressed_stays_one(self) -> None:
        bomb = gzip.compress(b"\0" * 1_000_000, 1)
        scene = Scene(answering(http_answer(bomb)))
        assert scene.fetch().bytes == len(scene.taken) == len(bomb)

    def test_compressed_chunks_are_refused(self) -> None:
        answer = http_answer(content_length="", transfer_encoding="gzip, chunked")
        assert Scene(answering(answer)).refused().trouble is EgressTrouble.ANSWER

    def test_an_answer_says_how_long_it_is(self) -> None:
        refusal = Scene(answering(http_answer(BODY, content_length=""))).refused()
        assert refusal.trouble is EgressTrouble.LENGTH

    @pytest.mark.parametrize("length", ["1000001", "9" * 20])
    def test_a_body_that_says_it_is_too_large_is_not_read(self, length: str) -> None:
        scene = Scene(answering(http_answer(BODY, content_length=length)))
        assert scene.refused().trouble is EgressTrouble.SIZE
        assert scene.taken == b""

    def test_a_body_in_chunks_ends_at_its_bound(self) -> None:
        head = http_answer(content_length="", transfer_encoding="chunked")
        scene = Scene(lambda _: for_ever(head, b"8000\r\n" + b"x" * 0x8000 + b"\r\n"))
        assert scene.refused().trouble is EgressTrouble.SIZE
        assert len(scene.taken) <= scene.bytes_max

    def test_a_body_in_chunks_is_taken(self) -> None:
        head = http_answer(content_length="", transfer_encoding="chunked")
        assert Scene(lambda _: [head, b"3\r\nabc\r\n", b"0\r\n\r\n"]).fetch().bytes == 3

    @pytest.mark.parametrize(
        "script",
        [
            [http_answer(BODY, content_length=str(len(BODY) + 1))],
            [http_answer(BODY)[:-1], httpcore.ReadError("secret")],
            [http_answer(content_length="", transfer_encoding="chunked"), b"8\r\nabc"],
            [http_answer(content_length="", transfer_encoding="chunked"), b"secret"],
        ],
    )
    def test_a_part_is_never_taken_for_the_whole(self, script: Script) -> None:
        refusal = Scene(lambda _: script).refused()
        assert (refusal.trouble, refusal.is_passing) == (EgressTrouble.CUT_SHORT, True)

    @pytest.mark.parametrize("script", [[], [b"SSH-2.0-secret\r\n"], [b"HTTP/1.1 200 OK\r\nsecret"]])
    def test_what_is_not_http_is_refused(self, script: Script) -> None:
        assert Scene(lambda _: script).refused().trouble is EgressTrouble.ANSWER

    @pytest.mark.parametrize("line", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 X\r\nLink: secret\r\n\r\n"])
    def test_headers_end(self, line: bytes) -> None:
        scene = Scene(lambda _: [line * 100] * 100 + [http_answer(BODY)])
        assert scene.refused().trouble is EgressTrouble.ANSWER
        more = [b"HTTP/1.1 200 OK\r\n", *[b"x-secret: 1\r\n" * 100] * 100, b"content-length: 0\r\n\r\n"]
        assert Scene(lambda _: more).refused().trouble is EgressTrouble.ANSWER


class TestTimes:
    def test_the_first_byte_comes_within_its_time(self) -> None:
        scene = Scene(lambda _: [1000.0, http_answer(BODY)])
        assert scene.refused().trouble is EgressTrouble.SLOW
        assert scene.clock.now_s == 20.0

    def test_headers_that_drip_end_with_the_same_time(self) -> None:
        drip = for_ever(b"HTTP/1.1 200 OK\r\n", b"x", 1.0)
        scene = Scene(lambda _: drip)
        assert scene.refused().trouble is EgressTrouble.SLOW
        assert scene.clock.now_s == 20.0

    def test_connecting_has_its_time(self) -> None:
        scene = Scene(tls=1000.0)
        assert scene.refused().trouble is EgressTrouble.UNREACHABLE
        assert scene.clock.now_s == 10.0

    def test_a_body_that_drips_ends(self) -> None:
        head = http_answer(content_length="100000")
        scene = Scene(lambda _: for_ever(head, 1.0, b"x" * 100))
        refusal = scene.refused()
        assert (refusal.trouble, refusal.is_passing) == (EgressTrouble.SLOW, True)
        assert scene.clock.now_s == 10.0

    def test_a_body_that_stops_after_a_good_beginning_ends(self) -> None:
        scene = Scene(lambda _: [http_answer(b"x" * 500_000, content_length="900000"), 1000.0])
        assert scene.refused().trouble is EgressTrouble.SLOW
        assert scene.clock.now_s == 20.0

    def test_chunks_that_are_nearly_all_framing_are_slow(self) -> None:
        head = http_answer(content_length="", transfer_encoding="chunked")
        chunk = b"1;" + b"y" * 50_000 + b"\r\nx\r\n"
        scene = Scene(lambda _: for_ever(head, 1.0, chunk))
        assert scene.refused().trouble is EgressTrouble.SLOW
        assert scene.clock.now_s == 10.0

    def test_the_whole_ends_however_steadily_it_comes(self) -> None:
        head = http_answer(content_length="2000000")
        body = for_ever(head, 1.0, b"x" * 20_000)
        scene = Scene(lambda _: body, limits=EgressLimits(whole_s=60.0), bytes_max=2_000_000)
        assert scene.refused().trouble is EgressTrouble.SLOW
        assert scene.clock.now_s == 60.0

    def test_whoever_asks_may_give_less_time(self) -> None:
        head = http_answer(content_length="2000000")
        body = for_ever(head, 1.0, b"x" * 20_000)
        scene = Scene(lambda _: body)
        with pytest.raises(EgressRefused, match="the whole within 30 s"):
            scene.egress.fetch(
                "https://a.example/", lambda _: None, bytes_max=2_000_000, types=["video/mp4"], whole_s=30.0
            )
        assert scene.clock.now_s == 30.0

    def test_redirects_have_no_time_of_their_own(self) -> None:
        scene = Scene(lambda _: [15.0, redirect("/again")], limits=EgressLimits(whole_s=40.0))
        assert scene.refused().trouble is EgressTrouble.SLOW
        assert scene.clock.now_s == 40.0

    def test_our_own_slow_disk_is_no_fault_of_the_server(self) -> None:
        scene = Scene(lambda _: [http_answer(content_length="4")] + [b"x", 1.0] * 4)

        def slowly(_: bytes) -> None:
            scene.clock.now_s += 100.0

        assert scene.egress.fetch("https://a.example/", slowly, bytes_max=9, types=["video/mp4"]).bytes == 4

    def test_a_sink_that_fails_ends_the_fetch_with_its_own_error(self) -> None:
        scene = Scene(limits=EgressLimits(at_once=1, turn_s=0.0))

        def full(_: bytes) -> None:
            raise OSError(28, "no space left")

        with pytest.raises(OSError, match="no space left"):
            scene.egress.fetch("https://a.example/", full, bytes_max=10_000, types=["video/mp4"])
        assert scene.network.closed > 0
        scene.fetch()


class TestTurns:
    @pytest.mark.parametrize(
        ("names", "addresses"),
        [
            (["a.example"], [f"9.9.9.{number}" for number in range(100)]),
            ([f"{number}.example" for number in range(100)], ["9.9.9.9"]),
            (["9.9.9.9"], []),
        ],
        ids=["one name of many addresses", "many names of one address", "an address"],
    )
    def test_a_hundred_at_once_are_few_at_one_host(self, names: list[str], addresses: list[str]) -> None:
        at_once, most, guard = 0, 0, threading.Lock()
        pair = threading.Barrier(2)

        def serve(_: str) -> Iterator[bytes]:
            nonlocal at_once, most
            with guard:
                at_once += 1
                most = max(most, at_once)
            pair.wait(PATIENCE_S)  # so that two are there at once, if ever that may be
            yield http_answer(b"x")[:-1]
            with guard:
                at_once -= 1
            yield b"x"

        scene = Scene(serve, names=dict.fromkeys(names, addresses), limits=EgressLimits(at_once=2))
        with ThreadPoolExecutor(100) as threads:
            found = list(threads.map(lambda number: scene.fetch(f"https://{names[number % len(names)]}/"), range(100)))
        assert [fetched.bytes for fetched in found] == [1] * 100
        assert most == 2

    def test_who_waits_too_long_is_told_to_come_again(self) -> None:
        scene = Scene(limits=EgressLimits(at_once=1, turn_s=0.0))
        inner: list[EgressRefused] = []
        scene.egress.fetch(
            "https://a.example/", lambda _: inner.append(scene.refused()), bytes_max=10_000, types=["video/mp4"]
        )
        assert (inner[0].trouble, inner[0].is_passing) == (EgressTrouble.BUSY, True)
        scene.fetch()


class TestCancelled:
    def fetch(self, scene: Scene, is_cancelled: Callable[[], bool]) -> None:
        scene.egress.fetch(
            "https://a.example/", lambda _: None, bytes_max=10_000, types=["video/mp4"], is_cancelled=is_cancelled
        )

    def test_what_is_cancelled_before_it_begins_asks_nobody(self) -> None:
        scene = Scene()
        with pytest.raises(EgressCancelled):
            self.fetch(scene, lambda: True)
        assert (scene.looked_up, scene.network.connected) == ([], [])

    def test_who_waits_for_bytes_goes_away(self) -> None:
        scene = Scene(lambda _: [10.0, http_answer(BODY)])
        with pytest.raises(EgressCancelled):
            self.fetch(scene, lambda: scene.clock.now_s > 2.0)
        assert scene.clock.now_s == 2.25
        assert scene.network.closed > 0

    def test_who_waits_for_a_turn_goes_away(self) -> None:
        scene = Scene(limits=EgressLimits(at_once=1, turn_s=1.0))
        asked: list[None] = []

        def is_cancelled() -> bool:
            asked.append(None)
            return True

        def inside(_: bytes) -> None:
            with pytest.raises(EgressCancelled):
                self.fetch(scene, is_cancelled)

        scene.egress.fetch("https://a.example/", inside, bytes_max=10_000, types=["video/mp4"])
        assert asked == [None]
        assert len(scene.network.connected) == 1


def test_a_process_has_one_guard() -> None:
    policy = EgressPolicy(ports=frozenset({8443}))
    assert process_egress(policy) is process_egress(EgressPolicy(ports=frozenset({8443})))


class TestPosting:
    def test_the_status_comes_back_and_nothing_else_is_read(self) -> None:
        scene = Scene(answering(redirect("https://in.example/")))
        assert scene.egress.post("https://a.example/hook", b"{}", {"Content-Type": "application/json"}) == 302
        assert scene.network.heard[0].startswith(b"POST /hook HTTP/1.1\r\nHost: a.example\r\n")
        assert scene.network.heard[0].endswith(b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")

    @pytest.mark.parametrize("url", ["https://in.example/", "https://127.0.0.1/", "http://a.example/"])
    def test_the_same_guard_stands_before_it(self, url: str) -> None:
        scene = Scene()
        with pytest.raises(EgressRefused):
            scene.egress.post(url, b"{}", {})
        assert scene.network.connected == []

    def test_it_is_not_large(self) -> None:
        with pytest.raises(EgressRefused, match="bytes to post"):
            Scene().egress.post("https://a.example/", b"x" * 2_000_000, {})

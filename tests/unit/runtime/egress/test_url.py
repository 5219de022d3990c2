"""A user's URL, taken apart once."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from runtime.egress.refusal import EgressRefused, EgressTrouble
from runtime.egress.url import URL_LENGTH_MAX, egress_url, redirected

HTTPS_ONLY = frozenset({"https"})


def test_what_is_asked_is_built_from_the_parts() -> None:
    url = egress_url("HTTPS://Files.Example.COM./a/../b%2Fc?x=%2F+y#part", HTTPS_ONLY)
    assert url.authority == "files.example.com"
    assert url == ("https", "files.example.com", 443, b"/b%2Fc?x=%2F+y", None)


def test_a_port_of_its_own_is_said_to_the_server() -> None:
    assert egress_url("https://a.example:9000", HTTPS_ONLY).authority == "a.example:9000"
    assert egress_url("http://a.example:443", {"http"}).authority == "a.example:443"
    assert egress_url("https://a.example:0", HTTPS_ONLY).port == 0
    assert egress_url("https://[2606:4700::1111]:9000/", HTTPS_ONLY).authority == "[2606:4700::1111]:9000"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://münchen.example/ä", "xn--mnchen-3ya.example"),
        ("https://faß.example", "xn--fa-hia.example"),
        ("https://a_b.example", "a_b.example"),
        ("https://8.8.8.8", "8.8.8.8"),
        ("https://127。0。0。1/", "127.0.0.1"),
        ("https://[::FFFF:7f00:1]/", "::ffff:127.0.0.1"),
    ],
)
def test_hosts_have_one_form(url: str, host: str) -> None:
    found = egress_url(url, HTTPS_ONLY)
    assert found.host == host
    assert found.address == (None if host.endswith(".example") else ip_address(host))


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.5",
        "1.2.3.0x",
        "1.2.3",
        "127.0.0.0x1",
        "１２７.1",
        "⑯⑨.254.169.254",
        "127.1.",
        "256.1.1.1",
        "01.1.1.1",
    ],
)
def test_no_other_form_of_an_address_is_looked_up(host: str) -> None:
    with pytest.raises(EgressRefused) as refused:
        egress_url(f"https://{host}/", HTTPS_ONLY)
    assert refused.value.trouble in (EgressTrouble.HOST, EgressTrouble.URL)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a.example/", "begins with https://"),
        ("ftp://a.example/", "begins with https://"),
        ("file:///etc/passwd", "begins with https://"),
        ("//a.example/", "begins with https://"),
        ("", "begins with https://"),
        ("https://user@a.example/", "without user and password"),
        ("https://user:word@a.example/", "without user and password"),
        ("https://:word@a.example/", "without user and password"),
        ("https://a.example\\@b.example/", "without spaces, backslashes"),
        ("https://a.example/a b", "without spaces, backslashes"),
        ("https://a.example/a\r\nHost: b", "without spaces, backslashes"),
        ("https://a.example/\x00", "without spaces, backslashes"),
        ("https://a.example/\u2028", "without spaces, backslashes"),
        ("https:///path", "the name of a host"),
        ("https:a.example", "the name of a host"),
        ("https://a..example/", "the name of a host"),
        ("https://-a.example/", "the name of a host"),
        ("https://a%2eexample/", "the name of a host"),
        ("https://a.example;b/", "the name of a host"),
        (f"https://{'a' * 64}.example/", "the name of a host"),
        (f"https://{'a.' * 126}example/", "the name of a host"),
        ("https://[::1/", "expected a URL"),
        ("https://a.example:x/", "expected a URL"),
        (f"https://a.example/{'a' * URL_LENGTH_MAX}", "at most 4096 characters"),
    ],
)
def test_other_urls_are_refused_with_a_sentence_that_does_not_repeat_them(url: str, expected: str) -> None:
    with pytest.raises(EgressRefused, match=expected) as refused:
        egress_url(url, HTTPS_ONLY)
    assert refused.value.trouble is EgressTrouble.URL
    assert "a.example" not in str(refused.value)
    assert not refused.value.is_passing


def test_a_redirect_is_read_from_where_it_was_found() -> None:
    url = egress_url("https://a.example:9000/x/y?z", HTTPS_ONLY)
    assert redirected(url, "../w?q=%2F") == "https://a.example:9000/w?q=%2F"
    assert redirected(url, "//b.example/") == "https://b.example/"
    assert redirected(url, "http://c.example") == "http://c.example"
    with pytest.raises(EgressRefused, match="a redirect to a URL"):
        redirected(url, "https://a.example:x/")

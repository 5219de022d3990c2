"""Which addresses are public, and which prefixes a policy may name."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from runtime.egress.addresses import NEVER, PRIVATE, SPECIAL, address_of, is_never_allowed, is_number, is_public
from runtime.egress.policy import EgressPolicy, PrefixUnusable, PrivatePrefix

PUBLIC = ("1.1.1.1", "8.8.8.8", "99.255.255.255", "172.32.0.1", "192.167.255.255", "198.20.0.1", "223.255.255.254")
PUBLIC_6 = ("2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "64:ff9b::8.8.8.8")
OTHERS = {
    "this network": ("0.0.0.0", "0.1.2.3", "::"),
    "loopback": ("127.0.0.1", "127.255.255.254", "::1"),
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fdff::1"),
    "link-local": ("169.254.1.1", "fe80::1", "febf::1", "fe80::1%eth0", "2606:4700::1111%eth0"),
    "metadata": (
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    ),
    "CGNAT": ("100.64.0.1", "100.127.255.255"),
    "benchmarking": ("198.18.0.1", "198.19.255.255", "2001:2::1"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"),
    "multicast": ("224.0.0.1", "239.1.1.1", "ff02::1"),
    "reserved": ("240.0.0.1", "255.255.255.255", "4000::1", "fec0::1", "100::1", "5f00::1"),
    "mapped": ("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::8.8.8.8"),
    "6to4": ("2002:7f00:1::", "2002:808:808::1", "192.88.99.1"),
    "NAT64": ("64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::8.8.8.8"),
    "Teredo": ("2001::1", "2001:0:808:808::1"),
    "AS112 and AMT": ("192.31.196.1", "192.52.193.1", "192.175.48.1", "2620:4f:8000::1"),
}


@pytest.mark.parametrize("address", PUBLIC + PUBLIC_6)
def test_what_is_public_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(("kind", "address"), [(kind, each) for kind, found in OTHERS.items() for each in found])
def test_what_is_not_public_is_not(kind: str, address: str) -> None:
    assert not is_public(ip_address(address)), kind


@pytest.mark.parametrize("network", SPECIAL + PRIVATE + NEVER, ids=str)
def test_special_networks_are_special_from_end_to_end(network: object) -> None:
    whole = ip_network(str(network))
    assert not is_public(whole[0])
    assert not is_public(whole[-1])


@pytest.mark.parametrize("address", OTHERS["metadata"] + OTHERS["link-local"])
def test_no_prefix_lets_anybody_reach_metadata(address: str) -> None:
    everything = EgressPolicy(
        prefixes=tuple(PrivatePrefix(str(network), network) for network in PRIVATE if network not in NEVER)
    )
    if is_never_allowed(ip_address(address)):
        assert not everything.lets(ip_address(address), "https", 443)
    else:
        pytest.fail(f"{address} may be named by a policy")


@pytest.mark.parametrize(
    "network",
    [
        "0.0.0.0/0",
        "8.8.8.0/24",
        "10.0.0.0/7",
        "169.254.0.0/16",
        "169.254.169.254/32",
        "100.100.100.200/32",
        "::/0",
        "::/1",
        "fe80::/64",
        "fd00:ec2::254/128",
        "2606::/32",
        "224.0.0.0/4",
        "::ffff:10.0.0.0/104",
        "2002::/16",
    ],
)
def test_a_policy_names_private_networks_only(network: str) -> None:
    with pytest.raises(PrefixUnusable, match="the prefix store"):
        PrivatePrefix("store", ip_network(network))


@pytest.mark.parametrize(
    ("address", "scheme", "port", "lets"),
    [
        ("8.8.8.8", "https", 443, True),
        ("8.8.8.8", "https", 9000, False),
        ("8.8.8.8", "http", 443, False),
        ("10.1.2.3", "https", 443, False),
        ("10.1.2.3", "https", 9000, True),
        ("10.1.2.3", "http", 9000, False),
        ("10.2.0.0", "https", 9000, False),
        ("10.9.0.1", "http", 80, True),
        ("10.9.0.2", "http", 80, False),
        ("::ffff:10.1.2.3", "https", 9000, False),
    ],
)
def test_a_prefix_has_ports_and_schemes_of_its_own(address: str, scheme: str, port: int, lets: bool) -> None:
    policy = EgressPolicy(
        prefixes=(
            PrivatePrefix("store", ip_network("10.1.0.0/16"), frozenset({9000})),
            PrivatePrefix("old", ip_network("10.9.0.1/32"), frozenset({80}), allows_http=True),
        )
    )
    assert policy.lets(ip_address(address), scheme, port) is lets


def test_a_policy_refuses_public_addresses_that_lead_inside() -> None:
    ours = EgressPolicy(refused=(ip_network("2606:4700:64::/96"), ip_network("9.9.9.0/24")))
    for address in ("2606:4700:64::a00:1", "9.9.9.9"):
        assert EgressPolicy().lets(ip_address(address), "https", 443)
        assert not ours.lets(ip_address(address), "https", 443)
    assert ours.lets(ip_address("2606:4700:65::1"), "https", 443)


def test_http_is_allowed_by_policy_alone() -> None:
    assert EgressPolicy().schemes == {"https"}
    open_policy = EgressPolicy(ports=frozenset({80, 443}), allows_http=True)
    assert open_policy.schemes == {"http", "https"}
    assert open_policy.lets(ip_address("8.8.8.8"), "http", 80)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "1.2.3.0x", "1.2.3.4.5"])
def test_forms_that_some_program_takes_for_an_address_are_numbers(host: str) -> None:
    assert is_number(host)
    assert address_of(host) is None


@pytest.mark.parametrize("host", ["example.com", "1.example", "0xabc.example", "127.0.0.1.example", "0xzz", "a1"])
def test_names_are_no_numbers(host: str) -> None:
    assert not is_number(host)

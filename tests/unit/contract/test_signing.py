"""Signatures as bytes: today's reader and every later one must make the same of them."""

from __future__ import annotations

import pytest

from contract import signing
from contract.inputs import CancelRequested
from contract.signers import node_signer
from contract.signing import InstallationKey, RecordSigner, SignatureRefused, SignedRecord, Verifier

OLD, NEW, OTHER = (InstallationKey(bytes([number]) * 32) for number in (1, 2, 3))
NODE = node_signer("east", "n1")
SAID = CancelRequested("main-" + "0" * 32, "acme")
GOLDEN_KEY_ID = "1af56925"
GOLDEN_KEY = "1af56925.fde82d85659b07880d50414275c0203bfbe89e41d355307808c93fd2218caf11"
GOLDEN_SIGNATURE = "node.east/n1 1af56925 7fce866b8a9ad1e056807aaf9277eee099102e16e4f31d07317e3fc33e4548fd"


def written(key: InstallationKey, signer: str = "api") -> SignedRecord:
    return RecordSigner(key.of(signer)).record(SAID, partition=4, key=b"key", event_id="7", source="/test")


def refusal(verifier: Verifier, record: SignedRecord) -> str:
    with pytest.raises(SignatureRefused) as refused:
        verifier.signer_of(record.partition, record.headers, record.key, record.value)
    return str(refused.value)


def test_hkdf_as_in_rfc_5869() -> None:
    """Test cases 1 and 3 of its appendix A."""
    made = signing.hkdf_sha256(bytes([0x0B]) * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert made.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    made = signing.hkdf_sha256(bytes([0x0B]) * 22, b"", b"", 42)
    assert made.hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"


def test_keys_and_signatures_stay_as_they_are() -> None:
    """Whoever changes these bytes makes every signature in every `jobs` wrong."""
    assert OLD.id == GOLDEN_KEY_ID
    assert OLD.of(NODE).text == GOLDEN_KEY
    assert dict(written(OLD, NODE).headers)[signing.SIGNATURE_HEADER].decode() == GOLDEN_SIGNATURE


def test_the_host_names_the_signer() -> None:
    record = written(OLD, NODE)
    assert Verifier([OLD]).signer_of(record.partition, record.headers, record.key, record.value) == NODE


def test_during_a_rotation_both_keys_are_in_force_and_after_it_one() -> None:
    for key in (OLD, NEW):
        record = written(key)
        assert Verifier([NEW, OLD]).signer_of(record.partition, record.headers, record.key, record.value) == "api"
    assert refusal(Verifier([NEW]), written(OLD)) == signing.OTHER_KEY
    assert refusal(Verifier([NEW, OLD]), written(OTHER)) == signing.OTHER_KEY


def test_nobody_can_be_somebody_else() -> None:
    own = OLD.of(NODE)
    stolen = RecordSigner(signing.SigningKey("api", own.key_id, own.secret))
    assert refusal(Verifier([OLD]), stolen.record(SAID, partition=0, key=b"k", event_id="1", source="/x")) == (
        signing.WRONG
    )


def test_a_record_without_a_signature_or_with_another_form_is_refused() -> None:
    record = written(OLD)
    (name, right) = record.headers[-1]
    bare = record._replace(headers=record.headers[:-1])
    assert refusal(Verifier([OLD]), bare) == signing.UNSIGNED
    unsigned = RecordSigner(None).record(SAID, partition=0, key=b"k", event_id="1", source="/x")
    assert refusal(Verifier([OLD]), unsigned) == signing.UNSIGNED
    for odd in (
        b"",
        b"api",
        b"api 01020304",
        right + b"0",
        right.upper(),
        b"\xff" + right,
        right.replace(b"api", b"me"),
    ):
        assert refusal(Verifier([OLD]), bare._replace(headers=[*bare.headers, (name, odd)])) == signing.ILL_SIGNED
    assert refusal(Verifier([OLD]), record._replace(headers=[*record.headers, (name, right)])) == signing.ILL_SIGNED


def test_a_tombstone_is_signed_too() -> None:
    record = RecordSigner(OLD.of("operator.ada")).tombstone(partition=0, key=b"k", event_id="1", source="/x")
    assert record.value is None
    assert Verifier([OLD]).signer_of(0, record.headers, b"k", None) == "operator.ada"
    assert refusal(Verifier([OLD]), record._replace(value=b"")) == signing.WRONG
    assert refusal(Verifier([OLD]), record._replace(key=b"another")) == signing.WRONG


def test_settings_are_read_as_they_were_written() -> None:
    key = NEW.of(NODE)
    assert signing.signing_key(NODE, key.text) == key
    both = f"{NEW.secret.hex()}, {OLD.secret.hex()}"
    assert signing.installation_keys(both) == (NEW, OLD)
    assert signing.installation_keys(" ") == ()


@pytest.mark.parametrize("text", ["a" * 63, "A" * 64, "a" * 64 + "," + "a" * 64, "xyz", ",".join("abc"), "é" * 64])
def test_installation_keys_that_are_none_are_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="expected ") as refused:
        signing.installation_keys(text)
    assert text not in str(refused.value)


@pytest.mark.parametrize("text", ["", "b" * 64, "0102030g." + "b" * 64, "01020304." + "b" * 63])
def test_signing_keys_that_are_none_are_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="expected a signing key as") as refused:
        signing.signing_key("api", text)
    assert not text or text not in str(refused.value)


def test_no_secret_is_in_a_repr() -> None:
    for key in (OLD, OLD.of("api")):
        assert key.secret.hex() not in repr(key)
        assert repr(key.secret) not in repr(key)

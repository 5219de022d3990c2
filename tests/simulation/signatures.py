"""Who signed a record of `jobs`. The world's signatures cannot be forged, so a name will do: it stands in the record's
key, which only submissions need for something else, with the time until which the record's join token is good."""

from __future__ import annotations

from contract.codec import body_of, decode_wire
from contract.inputs import Body, Submission
from contract.join_tokens import JOIN_TOKEN_HEADER
from contract.signing import SIGNATURE_HEADER

RELAY, ROOT = "relay", "operator.root"
LOGINS = (ROOT, "operator.eve", "operator.mallory")
"""Nobody revokes the first."""


def signed(signer: str, token_until_ms: int = 0) -> str:
    """The key of a record that is no submission."""
    return f"{signer} {token_until_ms}"


def signature_of(key: str, body: Body) -> tuple[str, int]:
    """The signer of a record with this key, and until when its join token is good; 0: it has none."""
    if isinstance(body, Submission):
        return ("intake" if body.via == "kafka" else "api"), 0
    signer, _, until_ms = key.partition(" ")
    return signer, int(until_ms)


def headers_of(key: str, value: bytes) -> tuple[tuple[str, bytes], ...]:
    """The headers that the record would have in Kafka, with empty MACs."""
    signer, token_until_ms = signature_of(key, body_of(decode_wire(value)))
    headers = ((SIGNATURE_HEADER, f"{signer} {'0' * 8} {'0' * 64}".encode()),)
    token = (JOIN_TOKEN_HEADER, f"{token_until_ms}.{'0' * 8}.{'0' * 64}".encode())
    return (*headers, token) if token_until_ms else headers

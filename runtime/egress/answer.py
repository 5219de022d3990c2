"""What a server may answer to a fetch, judged by its headers alone, before a byte of the body is read. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runtime.egress.refusal import EgressRefused, EgressTrouble

REDIRECTS = frozenset({301, 302, 303, 307, 308})

Headers = Sequence[tuple[bytes, bytes]]


class EgressAnswer(NamedTuple):
    """The head of an answer."""

    status: int
    headers: Headers

    def location(self) -> str:
        """Where a redirect leads, unchecked; empty: the answer is no redirect. EgressRefused."""
        if self.status not in REDIRECTS:
            return ""
        named = self._values(b"location")
        if len(named) != 1 or not named[0]:
            raise EgressRefused(EgressTrouble.REDIRECT, "expected a redirect to one URL, found none or several")
        return named[0]

    def check(self, types: Sequence[str], bytes_max: int) -> str:
        """The content type, which is one of those; `video/*` stands for every kind of video. EgressRefused."""
        self._check_status()
        self._check_encoding()
        self._check_length(bytes_max)
        return self._checked_type(types)

    def _check_status(self) -> None:
        if self.status != 200:
            raise EgressRefused(
                EgressTrouble.STATUS,
                f"expected the server to answer 200 with the whole file, found {self.status}",
                status=self.status,
            )

    def _check_encoding(self) -> None:
        """Nothing is decompressed, so nothing can grow."""
        if any(coding not in ("", "identity") for coding in self._listed(b"content-encoding")):
            raise EgressRefused(
                EgressTrouble.ENCODING, "expected content as it is, found compressed content that was not asked for"
            )

    def _check_length(self, bytes_max: int) -> None:
        lengths = set(self._listed(b"content-length"))
        is_chunked = "chunked" in self._listed(b"transfer-encoding")
        if not lengths and not is_chunked:
            # the end of the connection would be the end of the file, and nobody could tell a part from the whole
            raise EgressRefused(
                EgressTrouble.LENGTH,
                "expected an answer that says how long it is, found one without Content-Length and chunks",
            )
        if not is_chunked and any(not _is_at_most(length, bytes_max) for length in lengths):
            raise too_large(bytes_max)

    def _checked_type(self, types: Sequence[str]) -> str:
        said = {value.partition(";")[0].strip().lower() for value in self._values(b"content-type")}
        if len(said) == 1:
            (kind,) = said
            if any(kind == allowed or _is_kind_of(kind, allowed) for allowed in types):
                return kind
        raise EgressRefused(
            EgressTrouble.TYPE, f"expected content of the type {' or '.join(types)}, found another, or none"
        )

    def _listed(self, name: bytes) -> list[str]:
        return [part.strip().lower() for value in self._values(name) for part in value.split(",")]

    def _values(self, name: bytes) -> list[str]:
        return [value.decode("latin-1").strip() for key, value in self.headers if key.lower() == name]


def too_large(bytes_max: int) -> EgressRefused:
    return EgressRefused(EgressTrouble.SIZE, f"expected at most {bytes_max} bytes, found more")


def _is_at_most(length: str, bytes_max: int) -> bool:
    return length.isdecimal() and len(length) <= 20 and int(length) <= bytes_max


def _is_kind_of(kind: str, allowed: str) -> bool:
    return allowed.endswith("/*") and kind.startswith(allowed.removesuffix("*"))

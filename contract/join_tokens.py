"""Join tokens: with one, a machine that is new to a pool may join it for a short time.

A node's signing key alone lets nobody join from another machine, where the policy asks for tokens (`join_tokens`). Who
has the installation's key makes a token: it names a cluster and a node, ends soon, and carries an HMAC-SHA256 by a key
that is derived from the installation's key for tokens alone. The scheduler's host checks a token and hands `judge` the
time until which it is good (Input.token_until_ms). A token stands in a header of the record, so the ledger never has
it. Whoever reads it there can do nothing with it: the record must be signed by the very node that the token names.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence

from contract.names import is_name
from contract.signers import node_signer
from contract.signing import GivenHeaders, InstallationKey

JOIN_TOKEN_HEADER = "headrace_join_token"
"""Its text: until when (ms since 1970), the id of the installation key, and the HMAC in hex digits, with dots."""

TOKEN_LIFE_MAX_MS = 24 * 3_600_000
TOKEN_LIFE_MS = 15 * 60_000
"""What a token gets unless somebody asks for another time."""

_TOKEN = re.compile(rb"([1-9][0-9]{0,15})\.([0-9a-f]{8})\.([0-9a-f]{64})")


def make(key: InstallationKey, cluster: str, node: str, until_ms: int) -> str:
    """A token for this node. ValueError when these are no names."""
    if not is_name(cluster) or not is_name(node):
        raise ValueError(f"expected the names of a cluster and a node, found {cluster[:80]!r} and {node[:80]!r}")
    return f"{until_ms}.{key.id}.{_mac(key, cluster, node, until_ms)}"


def is_token(text: str) -> bool:
    """The text has the form of a token. Whether it is good, the scheduler's host says."""
    return _TOKEN.fullmatch(text.encode()) is not None


def good_until_ms(keys: Sequence[InstallationKey], headers: GivenHeaders, cluster: str, node: str, at_ms: int) -> int:
    """Until when the token in these headers lets this node join. 0: there is none, it is for another node, by a key
    that is not in force, or good for longer than TOKEN_LIFE_MAX_MS from `at_ms`, the record's append time, on."""
    match = _found(headers)
    if match is None:
        return 0
    until_ms, key_id = int(match[1]), match[2].decode()
    for key in keys:
        if key.id == key_id and hmac.compare_digest(_mac(key, cluster, node, until_ms).encode(), match[3]):
            return until_ms if until_ms <= at_ms + TOKEN_LIFE_MAX_MS else 0
    return 0


def claimed_until_ms(headers: GivenHeaders) -> int:
    """Until when the token in these headers says that it is good, which nobody has checked. 0: there is none."""
    match = _found(headers)
    return int(match[1]) if match is not None else 0


def _found(headers: GivenHeaders) -> re.Match[bytes] | None:
    found = [value for name, value in headers if name == JOIN_TOKEN_HEADER]
    return _TOKEN.fullmatch(found[0] or b"") if len(found) == 1 else None


def _mac(key: InstallationKey, cluster: str, node: str, until_ms: int) -> str:
    return hmac.digest(key.for_tokens(), f"{until_ms} {node_signer(cluster, node)}".encode(), "sha256").hex()

"""Who signed a record of `jobs`, as the host of its pool asks: nothing unsigned is taken once the pool has keys."""

from __future__ import annotations

import structlog

from contract import join_tokens, signers, signing
from contract.inputs import Body, NodeJoined
from contract.signing import SignatureRefused, Verifier
from runtime.kafka import Record
from streams.metrics import SIGNATURES_REFUSED, SIGNED

STRANGERS_MAX = 100

log = structlog.get_logger(__name__)

_KINDS = {
    signing.UNSIGNED: "unsigned",
    signing.ILL_SIGNED: "ill_signed",
    signing.OTHER_KEY: "other_key",
    signing.WRONG: "wrong",
}
"""How the metric names these refusals. All others are of what a role may say."""


class Signatures:
    """The check of one pool's records."""

    def __init__(self, verifier: Verifier | None, signed_from: int) -> None:
        """`verifier` None: this process has no keys, and nobody need sign. Records with smaller offsets in `jobs` than
        `signed_from` were written before the installation had keys, and their signatures are not looked at."""
        self._verifier, self._signed_from = verifier, signed_from
        self._strangers: set[tuple[str, str]] = set()
        """Signers and keys of which the log has said that the keys are not in force."""

    @property
    def are_asked_for(self) -> bool:
        return self._verifier is not None

    def signer_of(self, record: Record) -> str:
        """Who signed it; empty where nobody need have. SignatureRefused."""
        if self._verifier is None or record.offset < self._signed_from:
            return ""
        try:
            signer = self._verifier.signer_of(record.partition, record.headers, record.key, record.value)
        except SignatureRefused as refused:
            SIGNATURES_REFUSED.labels(_KINDS[str(refused)]).inc()
            if str(refused) == signing.OTHER_KEY:
                self._tell(record)
            raise
        key_id = signing.claimed(record.headers).key_id
        SIGNED.labels(key_id, signers.role_of(signer)).set_to_current_time()
        return signer

    def _tell(self, record: Record) -> None:
        """Say once for each signer and key that the key is not in force: that process does not know, and nothing that
        it says is taken."""
        claimed = signing.claimed(record.headers)
        stranger = claimed.signer, claimed.key_id
        if stranger in self._strangers or len(self._strangers) == STRANGERS_MAX:
            return
        self._strangers.add(stranger)
        log.warning(
            "refuses what somebody signs by a key that is not in force: give that process the key that `headrace keys"
            " derive SIGNER` prints, or find out who writes as it",
            claims_to_be=claimed.signer,
            key_id=claimed.key_id,
            partition=record.partition,
            offset=record.offset,
        )

    def token_until_ms(self, record: Record, body: Body) -> int:
        """Until when the join token of the record lets the node join; 0: the record is no join, or has no token that is
        good for this node. Call it for records whose signer was found and checked."""
        if self._verifier is None or not isinstance(body, NodeJoined):
            return 0
        return join_tokens.good_until_ms(
            self._verifier.keys, record.headers, body.cluster, body.node, record.timestamp_ms
        )

    def check(self, signer: str, body: Body) -> None:
        """SignatureRefused unless the signer may say this. An empty signer may say anything."""
        self._refuse(signers.refusal_of(signer, body) if signer else "")

    def check_tombstone(self, signer: str) -> None:
        """SignatureRefused unless the signer may bury a record."""
        self._refuse(signers.refusal_of_tombstone(signer) if signer else "")

    def _refuse(self, refusal: str) -> None:
        if refusal:
            SIGNATURES_REFUSED.labels("not_its_role").inc()
            raise SignatureRefused(refusal)

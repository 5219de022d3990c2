"""The way into `jobs`: every record of ours goes through here, signed by the process or the operator that writes it."""

from __future__ import annotations

from typing import Protocol

import structlog

from contract import signers
from contract.join_tokens import JOIN_TOKEN_HEADER
from contract.signing import RecordSigner, SignedRecord, SigningKey, signing_key
from contract.topics import JOBS
from runtime.kafka import Delivery, OnDelivery, Producer, RecordHeaders
from runtime.settings import Settings, SettingUnusable

log = structlog.get_logger(__name__)


class WrongSigner(SettingUnusable):
    """The settings have the key of another role or node. The message says expected, found, and what to do."""


class RecordSink(Protocol):
    """runtime.kafka.Producer, as far as a writer that waits for nothing uses a producer. A record that cannot be handed
    over at once is DeliveryUnclear."""

    def offer(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = ...,
        headers: RecordHeaders = ...,
        partition: int | None = ...,
        on_delivery: OnDelivery | None = ...,
    ) -> None: ...


def signer_of(settings: Settings, expected: str) -> RecordSigner:
    """Who signs what is written under these settings; without a key nothing is signed. `expected`: the signer's name,
    or the role alone where any name of the role will do. WrongSigner when the key is somebody else's."""
    return RecordSigner(key_of(settings, expected))


def process_signer(settings: Settings, expected: str) -> RecordSigner:
    """As `signer_of`, first thing in the main function of a process; the log says when the process has no key."""
    key = key_of(settings, expected)
    if key is None:
        log.warning(
            "signs nothing: no HEADRACE_SIGNER and HEADRACE_SIGNING_KEY are set, so a scheduler with installation keys"
            " refuses what this process writes",
            expected=expected,
        )
    return RecordSigner(key)


def key_of(settings: Settings, expected: str) -> SigningKey | None:
    """The key of the settings; None when they have none. WrongSigner."""
    if not settings.signer:
        return None
    if expected not in (settings.signer, signers.role_of(settings.signer)):
        raise WrongSigner(
            f"HEADRACE_SIGNER: expected {expected}, found {settings.signer}: a scheduler would refuse every record of"
            f" this process; `headrace keys derive {expected}` prints the right settings"
        )
    return signing_key(settings.signer, settings.signing_key)


def with_join_token(record: SignedRecord, token: str) -> SignedRecord:
    """The record with this token in a header. The signature does not cover it: a token names the node that may use it,
    and is good for no other."""
    return record._replace(headers=[*record.headers, (JOIN_TOKEN_HEADER, token.encode())])


def send(producer: Producer, record: SignedRecord) -> None:
    """As Producer.send."""
    producer.send(JOBS, record.value, key=record.key, headers=record.headers, partition=record.partition)


def offer(sink: RecordSink, record: SignedRecord, on_delivery: OnDelivery) -> None:
    """As Producer.offer."""
    sink.offer(
        JOBS,
        record.value,
        key=record.key,
        headers=record.headers,
        partition=record.partition,
        on_delivery=on_delivery,
    )


def send_and_wait(producer: Producer, record: SignedRecord) -> Delivery:
    """As Producer.send_and_wait."""
    return producer.send_and_wait(
        JOBS, record.value, key=record.key, headers=record.headers, partition=record.partition
    )


async def asend(producer: Producer, record: SignedRecord) -> Delivery:
    """As Producer.asend."""
    return await producer.asend(JOBS, record.value, key=record.key, headers=record.headers, partition=record.partition)

"""Users of the brokers, by SCRAM: the brokers keep a salted verifier, never the password."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from runtime import kafka_clients
from runtime.kafka_credentials import Brokers
from runtime.kafka_records import CLIENT

ITERATIONS = 4_096
"""The least that Kafka takes. More would slow each connection, and would protect only passwords that can be guessed:
ours are drawn."""
TIMEOUT_S = 30.0


def set_users(brokers: Brokers, passwords: Mapping[str, str]) -> None:
    """Have the brokers know these users by these passwords, whether they knew them before or not. KafkaException."""
    admin = kafka_clients.admin_client({**CLIENT, **brokers.librdkafka()})
    how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    wanted = [UserScramCredentialUpsertion(user, how, word.encode()) for user, word in sorted(passwords.items())]
    for made in admin.alter_user_scram_credentials(wanted, request_timeout=TIMEOUT_S).values():
        made.result()


def remove_users(brokers: Brokers, users: Iterable[str]) -> None:
    """Have the brokers know these users no more. KafkaException."""
    gone = [UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_512) for user in sorted(users)]
    if not gone:
        return
    admin = kafka_clients.admin_client({**CLIENT, **brokers.librdkafka()})
    for removed in admin.alter_user_scram_credentials(gone, request_timeout=TIMEOUT_S).values():
        try:
            removed.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.RESOURCE_NOT_FOUND:
                raise

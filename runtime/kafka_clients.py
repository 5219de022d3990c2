"""The three clients of confluent-kafka, made in one place, so that tests may put an in-memory broker behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import confluent_kafka
from confluent_kafka import admin

Config = Mapping[str, Any]
"""librdkafka's settings by name. `bootstrap.servers` says which brokers."""


def consumer(config: Config) -> Any:
    return confluent_kafka.Consumer(dict(config))


def producer(config: Config) -> Any:
    return confluent_kafka.Producer(dict(config))


def admin_client(config: Config) -> Any:
    return admin.AdminClient(dict(config))

"""Kafka by confluent-kafka: one producer, one reader, and the few questions asked of a broker.

Readers use assign(), never a consumer group, so no rebalance can stall a reader. Writers are idempotent and wait for
all replicas. A delivery that is not a clean success is unclear; the caller decides what that means.
"""

from runtime.kafka_brokers import broker_setting
from runtime.kafka_lookup import Lookup
from runtime.kafka_producer import OnDelivery, Producer
from runtime.kafka_reader import Reader, Watermarks, offsets, partitions, read_one, read_range
from runtime.kafka_records import (
    Delivery,
    DeliveryRefused,
    DeliveryUnclear,
    OffsetGone,
    Record,
    RecordHeaders,
)
from runtime.kafka_topics import TopicChange, TopicMismatch, ensure_topics

__all__ = [
    "Delivery",
    "DeliveryRefused",
    "DeliveryUnclear",
    "Lookup",
    "OffsetGone",
    "OnDelivery",
    "Producer",
    "Reader",
    "Record",
    "RecordHeaders",
    "TopicChange",
    "TopicMismatch",
    "Watermarks",
    "broker_setting",
    "ensure_topics",
    "offsets",
    "partitions",
    "read_one",
    "read_range",
]

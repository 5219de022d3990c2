"""What Kafka must do for runtime.kafka, and for whoever uses it, to work: every case by its name."""

from __future__ import annotations

from tests.conformance import kafka_groups, kafka_questions, kafka_reading, kafka_records
from tests.conformance.kafka_case import APPEND_TIME, CASES, Case

__all__ = ["APPEND_TIME", "CASES", "Case"]

MODULES = (kafka_records, kafka_reading, kafka_questions, kafka_groups)
"""Importing them has filled CASES."""

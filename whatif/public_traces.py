"""Public traces: their columns, and the job that is made of a row.

A public trace says when requests came and how many tokens each had, not who asked or what they paid. The rest is made
from each row by a rule that stands here and in docs/traces.md, so that everybody makes the same arrivals of a trace.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

TIER_SHARES = (("api", 10), ("enterprise", 15), ("unlimited", 25), ("light", 20), ("free", 30))
"""Per cent of the jobs of a public trace."""
TENANTS = 20
SIZE_CLASSES = (("small", 1_000), ("medium", 4_000), ("large", None))
"""(model, limit): a job of a public trace has the first model whose limit is above its input tokens."""
SERVICE_BASE_S, INPUT_TOKENS_PER_S, OUTPUT_TOKENS_PER_S = 2.0, 2_000.0, 25.0
"""Run time of a public trace's job: base + input tokens / 2,000 + output tokens / 25 seconds."""


class PublicFormat(NamedTuple):
    """The columns of a public trace: arrival, input tokens, output tokens."""

    arrival: str
    inputs: str
    outputs: str
    per_second: int
    """How many units of the arrival column make a second, if the column is a number."""


PUBLIC_FORMATS = (
    PublicFormat("TIMESTAMP", "ContextTokens", "GeneratedTokens", 1),
    PublicFormat("timestamp_ms", "input_length", "output_length", 1000),
    PublicFormat("timestamp", "input_length", "output_length", 1000),
    PublicFormat("Timestamp", "Request tokens", "Response tokens", 1),
)
"""Azure LLM inference, 2023 to 2025; Mooncake FAST'25, slim, and as published; BurstGPT."""


class PublicJob(NamedTuple):
    """What a row of a public trace asks for, beside when."""

    tier: str
    tenant: str
    model: str
    service_ms: int


def job_of_row(row: str, inputs: int, outputs: int) -> PublicJob:
    """`row`: the row's number, from 1 on, and its three fields, with commas between. `inputs`, `outputs`: tokens."""
    hashed = hashlib.sha256(row.encode()).digest()
    service_s = SERVICE_BASE_S + inputs / INPUT_TOKENS_PER_S + outputs / OUTPUT_TOKENS_PER_S
    return PublicJob(tier_of(hashed), tenant_of(hashed), model_of(inputs), round(service_s * 1000))


def tier_of(hashed: bytes) -> str:
    """The tier by bytes 0 to 3 of the row's hash, as a number modulo 100, against TIER_SHARES."""
    point = int.from_bytes(hashed[:4]) % 100
    for tier, share in TIER_SHARES:
        if point < share:
            return tier
        point -= share
    raise ValueError("expected TIER_SHARES to add up to 100, found less")


def tenant_of(hashed: bytes) -> str:
    """The tenant by bytes 4 to 7 of the row's hash, as a number modulo TENANTS squared. The integer square root of that
    number lets some tenants ask much more often than others."""
    return f"tenant{math.isqrt(int.from_bytes(hashed[4:8]) % TENANTS**2):02d}"


def model_of(input_tokens: int) -> str:
    """The model by size class."""
    return next(model for model, fewer_than in SIZE_CLASSES if fewer_than is None or input_tokens < fewer_than)

"""docker-compose.yml as compose reads it, without docker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SET_BY_A_USER = {"KAFKA_ADMIN_PASSWORD": "drawn-by-lot", "POSTGRES_PASSWORD": "drawn", "S3_SECRET_KEY": "drawn-too"}


def filled(text: object, variables: dict[str, str]) -> str:
    """What compose makes of `${NAME:-default}` and `${NAME:?why}`, the innermost first. KeyError: a name without a
    value."""

    def value(match: re.Match[str]) -> str:
        return variables[match[1]] if match[2] == "?" else variables.get(match[1]) or match[3]

    before, after = "", str(text)
    while before != after:
        before, after = after, re.sub(r"\$\{(\w+):([-?])([^${}]*)\}", value, after)
    return after


def broker_settings(broker: str) -> dict[str, str]:
    """As Kafka's image makes them of the environment: `_` is a dot, `__` is `_`, `___` is a dash."""
    environment = {key: filled(value, SET_BY_A_USER) for key, value in SERVICES[broker]["environment"].items()}
    return {
        key.removeprefix("KAFKA_").lower().replace("_", ".").replace("...", "-").replace("..", "_"): value
        for key, value in environment.items()
        if key.startswith("KAFKA_")
    }

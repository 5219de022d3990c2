"""The door of settings in the environment."""

from __future__ import annotations

import os
from random import Random

from pydantic import ValidationError

from cli.api_client import ApiClient
from runtime.settings import Settings
from tests.fuzz.door import Door

SETTINGS = {
    "HEADRACE_KAFKA": "127.0.0.1:9092",
    "DATABASE_URL": "postgres://u:p@h/db",
    "HEADRACE_API_PORT": "8470",
    "HEADRACE_DATA": "/data with spaces/ü",
    "HEADRACE_NODE_ADDRESS": "n1:29500",
    "HEADRACE_LOG_LEVEL": "INFO",
    "HEADRACE_METRICS_PORT": "0",
    "HEADRACE_API_URL": "http://127.0.0.1:8470/headrace/",
    "HEADRACE_API_KEY": "hr_k_s",
    "HEADRACE_S3_ENDPOINT": "http://[::1]:9000",
}
ODD_SETTINGS = (
    "",
    " ",
    "é",
    "9" * 5_000,
    "-1",
    "x" * 70_000,
    "[::1]:1",
    "h:64537",
    "h:0",
    ":1",
    "h:٣",
    "h:²",
    "1.0",
    "true",
    "\n",
    "http://",
    "http://[::1",
    "http://..",
    "http://h:0",
    "http://u:p@h",
    "http://a\x01b",
)


def settings(chance: Random) -> dict[str, str]:
    made = {name: value for name, value in SETTINGS.items() if chance.random() < 0.6}
    if chance.random() < 0.5:
        made[chance.choice(tuple(SETTINGS))] = chance.choice(ODD_SETTINGS)
    return made


def feed_settings(given: dict[str, str]) -> bool:
    """What a process reads, its children and its client of the API take."""
    kept = dict(os.environ)
    try:
        os.environ.update(given)
        read = Settings()
        os.environ.update({name: value for name, value in read.environment().items() if "\0" not in value})
        assert Settings() == read, "a child process reads the same"
        with ApiClient(read.api_url, read.api_key) as client:
            assert client._http.build_request("GET", "/v1/jobs").url.host
    finally:
        os.environ.clear()
        os.environ.update(kept)
    return True


DOORS = (Door("settings", settings, feed_settings, ("runtime.settings.Settings",), (ValidationError,), 80_000),)

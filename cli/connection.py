"""The installation that this command talks to: the environment names it, else it is the embedded stack of --data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.api_client import ApiClient
from cli.errors import WrongUse
from contract.signing import InstallationKey, installation_keys
from local import stack
from local.installation_key import keys_in
from local.options import Layout
from runtime.settings import ENV_PREFIX, Settings

DATA_DEFAULT = Path(".headrace")

Data = Annotated[
    Path,
    typer.Option("--data", envvar="HEADRACE_DATA", help="Directory of the embedded stack.", show_default=True),
]

_ELSEWHERE = (ENV_PREFIX + "KAFKA", ENV_PREFIX + "API_URL")
"""Either of these in the environment names an installation other than the embedded stack."""


def elsewhere() -> bool:
    """Whether the environment names an installation. Then the embedded stack is not used."""
    return any(name in os.environ for name in _ELSEWHERE)


def settings(data: Path) -> Settings:
    """Settings of the installation. WrongUse when there is neither an environment nor a stack in `data`."""
    if elsewhere():
        return Settings()
    try:
        return stack.settings(data)
    except FileNotFoundError:
        raise WrongUse(
            f"expected a stack in {data.absolute()}, found none; start one with `headrace up`, name its directory with"
            " --data, or name an installation by HEADRACE_API_URL and HEADRACE_API_KEY"
        ) from None


def known_installation_keys(data: Path) -> tuple[InstallationKey, ...]:
    """Those in HEADRACE_INSTALLATION_KEYS, else those of the embedded stack if this user may read them, else none."""
    keys = installation_keys(Settings().installation_keys)
    path = Layout(data).installation_keys
    if keys or elsewhere() or not os.access(path, os.R_OK):
        return keys
    return keys_in(path)


def api(data: Path, *, operator: bool = False) -> ApiClient:
    """The API, under HEADRACE_API_KEY or a key of the embedded stack: that of tenant demo, or that of the operator."""
    found = settings(data)
    return ApiClient(found.api_url, found.api_key or _stack_key(data, operator=operator))


def _stack_key(data: Path, *, operator: bool) -> str:
    try:
        known = stack.keys(data)
    except (FileNotFoundError, PermissionError):
        raise WrongUse(
            f"expected an API key in HEADRACE_API_KEY or in the stack's {data / 'keys.json'}, found none;"
            " an operator makes one with `headrace keys create`"
        ) from None
    return known.operator_key if operator else known.api_key

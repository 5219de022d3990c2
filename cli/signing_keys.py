"""The installation's key, from which the keys of all who write to `jobs` are derived: what commands do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.connection import DATA_DEFAULT, Data, known_installation_keys
from cli.errors import WrongUse
from cli.output import Format, Output
from contract.signing import InstallationKey
from local.options import Layout
from runtime.settings import ENV_PREFIX


def derive(
    signer: Annotated[str, typer.Argument(help="node.CLUSTER/NAME, operator.NAME, api, intake or relay.")],
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Print the settings with which a process or a person signs records of `jobs`. They are secret.

    The installation's key comes from HEADRACE_INSTALLATION_KEYS, else from the embedded stack of --data."""
    try:
        key = newest_key(data).of(signer)
    except ValueError as error:
        raise WrongUse(str(error)) from None
    made = {ENV_PREFIX + "SIGNER": key.signer, ENV_PREFIX + "SIGNING_KEY": key.text}
    if form is Format.JSON:
        return output.as_json(made)
    output.err.print("for this process alone: whoever has it can speak as this signer")
    for name, value in made.items():
        print(f"{name}={value}")


def newest_key(data: Path) -> InstallationKey:
    """The installation's newest key. It comes from HEADRACE_INSTALLATION_KEYS, else from the embedded stack of --data.
    WrongUse when there is none."""
    keys = known_installation_keys(data)
    if not keys:
        path = Layout(data).installation_keys
        raise WrongUse(
            f"expected the installation's key in HEADRACE_INSTALLATION_KEYS or in {path}, found none; `headrace up`"
            " makes one, and `openssl rand -hex 32` one for an installation of your own"
        )
    return keys[0]

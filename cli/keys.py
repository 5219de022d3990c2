"""`headrace keys …`: who may use the API, as which tenant and tiers; and the keys with which processes sign."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.connection import DATA_DEFAULT, Data, elsewhere, settings
from cli.errors import WrongUse
from cli.output import Format, Output
from contract.signing import InstallationKey, installation_keys
from local import installation_key
from local.options import Layout
from registry import keys
from runtime.postgres import engine as connect
from runtime.settings import ENV_PREFIX, Settings

app = typer.Typer(no_args_is_help=True, help="API keys: shown once, stored hashed.")


class Scope(StrEnum):
    USER = "user"
    OPERATOR = "operator"


@app.command()
def create(
    tenant: Annotated[str, typer.Option(help="Whose jobs.")],
    tier: Annotated[list[str], typer.Option(help="A tier of its jobs; repeat the option. The first is the default.")],
    scope: Annotated[Scope, typer.Option(help="operator: sees clusters, nodes and the policy too.")] = Scope.USER,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Make a key and print its secret. Nobody can see the secret again."""
    secret = keys.create(connect(settings(data)), tenant, tier, scope.value)
    if form is Format.JSON:
        return output.as_json({"key": secret, "tenant": tenant, "tiers": tier, "scope": scope.value})
    output.err.print("keep it: it is not shown again")
    print(secret)


@app.command("list")
def list_keys(data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Every key, without its secret."""
    known = keys.listed(connect(settings(data)))
    if form is Format.JSON:
        return output.as_json(known)
    output.table(
        ["key", "tenant", "tiers", "scope", "created", "revoked"],
        [
            (
                k.key.id,
                k.key.tenant,
                ", ".join(k.key.tiers),
                k.key.scope,
                output.moment(k.created_ms),
                output.moment(k.revoked_ms),
            )
            for k in known
        ],
        empty="there is no key; make one with `headrace keys create --tenant NAME --tier TIER`",
    )


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, from `keys list`")],
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """End a key."""
    if not keys.revoke(connect(settings(data)), key):
        raise WrongUse(f"there is no key {key!r} in force; see `headrace keys list`")
    if form is Format.JSON:
        return output.as_json({"key": key, "revoked": True})
    output.err.print(f"{key} is revoked; API processes forget it within a minute")


@app.command()
def derive(
    signer: Annotated[str, typer.Argument(help="node.CLUSTER/NAME, operator.NAME, api, intake or relay.")],
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Print the settings with which a process or a person signs records of `jobs`. They are secret.

    The installation's key comes from HEADRACE_INSTALLATION_KEYS, else from the embedded stack of --data."""
    try:
        key = _installation_key(data).of(signer)
    except ValueError as error:
        raise WrongUse(str(error)) from None
    made = {ENV_PREFIX + "SIGNER": key.signer, ENV_PREFIX + "SIGNING_KEY": key.text}
    if form is Format.JSON:
        return output.as_json(made)
    output.err.print("for this process alone: whoever has it can speak as this signer")
    for name, value in made.items():
        print(f"{name}={value}")


def _installation_key(data: Path) -> InstallationKey:
    """The newest one."""
    keys = installation_keys(Settings().installation_keys)
    path = Layout(data).installation_keys
    if not keys and not elsewhere() and path.exists():
        keys = installation_key.keys_in(path)
    if not keys:
        raise WrongUse(
            f"expected the installation's key in HEADRACE_INSTALLATION_KEYS or in {path}, found none; `headrace up`"
            " makes one, and `openssl rand -hex 32` one for an installation of your own"
        )
    return keys[0]

"""`headrace nodes …`: what a machine needs to join as a node. `headrace clusters` shows the nodes that have joined."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.connection import DATA_DEFAULT, Data
from cli.durations import duration_ms
from cli.errors import WrongUse
from cli.output import Format, Output
from cli.signing_keys import newest_key
from contract import join_tokens
from local import installation_key
from runtime.settings import variable_of

app = typer.Typer(no_args_is_help=True, help="What a machine needs to join as a node.")

LIFE_DEFAULT = "15m"


@app.callback()
def nodes() -> None:
    """What a machine needs to join as a node."""


@app.command()
def token(
    cluster: Annotated[str, typer.Option(help="The cluster that the node belongs to.")],
    name: Annotated[str, typer.Option(help="The node's name.")],
    life: Annotated[str, typer.Option("--for", help="How long it lets the node join: 30s, 15m, at most 1d.")] = (
        LIFE_DEFAULT
    ),
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Print a join token: with it, a machine that is new to its pool joins under this name, where the policy asks for
    tokens (`join_tokens`). A machine that has joined once comes back without one.

    The installation's key comes from HEADRACE_INSTALLATION_KEYS, else from the embedded stack of --data."""
    life_ms = duration_ms("--for", life, least_ms=1_000)
    if life_ms > join_tokens.TOKEN_LIFE_MAX_MS:
        raise WrongUse(f"--for: expected at most 1d, found {life[:80]!r}: make another token when it is needed")
    key = newest_key(data)
    try:
        text = installation_key.join_token(key, cluster, name, life_ms)
    except ValueError as error:
        raise WrongUse(str(error)) from None
    variable = variable_of("join_token")
    if form is Format.JSON:
        until_ms = int(text.partition(".")[0])
        return output.as_json({variable: text, "cluster": cluster, "node": name, "until_ms": until_ms})
    output.err.print(f"for {cluster}/{name} alone, with the key of `headrace keys derive node.{cluster}/{name}`")
    print(f"{variable}={text}")

"""`headrace store …`: what each role may do in the object store."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.connection import DATA_DEFAULT, Data, settings
from cli.errors import WrongUse
from cli.output import Format, Output
from cli.rights import show_rights
from runtime.object_store_health import store_of_moment
from runtime.settings import Settings
from runtime.store_rights import RIGHTS, policy_of, try_rights

app = typer.Typer(no_args_is_help=True, help="Rights in the object store.")

RoleName = Annotated[str, typer.Argument(metavar="ROLE", help=f"One of {', '.join(RIGHTS)}.")]
Bucket = Annotated[str, typer.Option("--bucket", help="Its bucket; else that of HEADRACE_S3_BUCKET.")]


@app.callback()
def store() -> None:
    """Rights in the object store."""


@app.command()
def policies(role: RoleName, bucket: Bucket = "") -> None:
    """Print the policy document for the login of a role, as S3 and compatible stores read it."""
    output.as_json(policy_of(_known(role), bucket or Settings().s3_bucket))


@app.command()
def rights(role: RoleName, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Try what a role may do and what it may not, with the login of these settings. Exit 1 when they differ."""
    found = try_rights(store_of_moment(settings(data)), _known(role))
    show_rights(found, "prefix", empty=f"the login does what {role} needs, and nothing else", form=form)


def _known(role: str) -> str:
    if role not in RIGHTS:
        raise WrongUse(f"expected one of {', '.join(RIGHTS)}, found {role[:80]!r}")
    return role

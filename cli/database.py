"""`headrace database …`: what each role may do in Postgres, and logins that may do that."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import psycopg
import typer
from psycopg import Connection, errors
from sqlalchemy import make_url

from cli import output
from cli.connection import DATA_DEFAULT, Data, elsewhere, settings
from cli.errors import CommandFailed, WrongUse
from cli.output import Format, Output
from cli.rights import show_rights
from contract.names import is_name
from local import stack
from runtime import database_logins
from runtime.database_rights import RIGHTS, close_to_all, create_group, grants_of, group_of
from runtime.settings import DATABASE_VARIABLES, Settings

app = typer.Typer(no_args_is_help=True, help="Rights and logins in Postgres.")

RoleName = Annotated[str, typer.Argument(metavar="ROLE", help=f"One of {', '.join(RIGHTS)}.")]
Login = Annotated[str, typer.Argument(metavar="NAME", help="Of the login; models that it registers are its own.")]
OfRole = Annotated[str, typer.Option("--role", help=f"One of {', '.join(RIGHTS)}.")]


@app.callback()
def database() -> None:
    """Rights and logins in Postgres."""


@app.command()
def grants(role: RoleName) -> None:
    """Print the SQL that gives a role its rights, for whoever administers a server where we may make no roles.

    `headrace up` and `local.install` do all this by themselves where they may."""
    statements = [create_group(_known(role)), *grants_of(role)]
    print(f"-- as the owner of the tables, in their database; then: CREATE ROLE name LOGIN IN ROLE {group_of(role)};")
    for statement in statements:
        print(f"{statement.as_string()};")
    print("-- once for all roles, with the name of the database:")
    for closed in close_to_all("headrace"):
        print(f"{closed.as_string()};")


@app.command()
def rights(role: RoleName, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Ask Postgres what the login of these settings may do beside what a role may. Exit 1 when they differ."""
    with _connected(settings(data)) as connection:
        held = database_logins.rights_held(connection, _known(role))
    show_rights(held, "place", empty=f"the login may do what {role} needs, and nothing else", form=form)


@app.command()
def login(name: Login, role: OfRole, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Make a login of a role, or draw another password for one, and print its address. Nobody can see it again.

    It takes the owner of the tables, or another login that may make roles."""
    _known(role)
    if not is_name(name):
        raise WrongUse(
            f"expected a login of lower case letters, digits, '.', '_', '-', at most 63, found {name[:80]!r}"
        )
    owner = Settings() if elsewhere() else stack.owner_settings(data)
    password = database_logins.draw_password()
    try:
        with _connected(owner) as connection:
            database_logins.make_login(connection, name, role, password)
    except errors.ReservedName:
        raise WrongUse(f"expected a name that Postgres does not keep for itself, found {name!r}") from None
    except errors.UndefinedObject:
        raise CommandFailed(
            f"expected the role {group_of(role)} in Postgres, found none; `headrace up` and `local.install` make it,"
            f" or whoever administers the server by `headrace database grants {role}`"
        ) from None
    except errors.InsufficientPrivilege:
        raise CommandFailed(
            "expected the owner of the tables, or a login that may make roles, in DATABASE_URL; found another login."
            f" Name that one, or see `headrace database grants {role}`"
        ) from None
    url = make_url(owner.database_url).set(drivername="postgresql", username=name, password=password)
    shown = url.render_as_string(hide_password=False)
    if form is Format.JSON:
        return output.as_json({"login": name, "role": role, "url": shown})
    output.err.print(f"for {name} alone, in the place of every other DATABASE_URL; it is not shown again")
    print(f"{DATABASE_VARIABLES[0]}={shlex.quote(shown)}")


@contextmanager
def _connected(here: Settings) -> Iterator[Connection[Any]]:
    url = make_url(here.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        yield connection


def _known(role: str) -> str:
    if role not in RIGHTS:
        raise WrongUse(f"expected one of {', '.join(RIGHTS)}, found {role[:80]!r}")
    return role

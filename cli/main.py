"""The entry point: all nouns under one command, every failure as one sentence and an exit code.

Only the noun that was typed is imported: each noun imports what it talks to (Postgres, S3, Kafka), and a person waits
for that.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

from cli import output
from cli.errors import FAILED
from cli.sentences import sentence
from runtime.private_memory import keep_memory_private

NOUNS = {
    "jobs": "Requests to run a model once.",
    "uploads": "Media that you bring, for inputs of jobs.",
    "models": "Versions of models, and the aliases that point to them.",
    "clusters": "Clusters and their nodes.",
    "nodes": "What a machine needs to join as a node.",
    "pools": "Pools: put on hold, release.",
    "policy": "Tiers, SLOs, pools, clusters and limits.",
    "audit": "The history: verified, told, exported.",
    "quarantine": "Records that could not be acted on: see, submit again, pass over.",
    "store": "Rights in the object store: a policy for each role's login, and whether a login keeps to it.",
    "database": "Rights in Postgres, and logins of authors, operators and processes.",
    "results": "What attempts left in the object store: swept.",
    "views": "The tables from which the API answers: pruned.",
    "topics": "What each role may do with the topics: the brokers' access rules.",
    "keys": "API keys: shown once, stored hashed. And signing keys.",
}
"""Each noun is the module of its name, which has an `app`."""
VERBS = {
    "up": ("stack", "Start Kafka, Postgres, S3, scheduler, intake, projector, relay, API and nodes, supervised."),
    "down": ("stack", "Stop the stack; its data stays."),
    "status": ("stack", "What runs, on which ports, and what is wrong. Exit 1 when a part does not run."),
    "doctor": ("stack", "What this machine has, what it lacks, and what to do. Exit 1 when something is missing."),
    "demo": ("demo", "The whole path once: stack, model, prompts of all tiers, videos, the history verified."),
}
"""Verbs without a noun: the module that has the function, and what it does."""


def main() -> None:
    """Runs the command that was typed."""
    keep_memory_private()
    sys.exit(_written(run(sys.argv[1:])))


def _written(code: int) -> int:
    """The exit code, once all that was printed is written: Python itself would end with a stack trace."""
    try:
        if sys.stdout is not None:  # None: it was closed before this program began
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has enough
        code = FAILED
    except OSError as failure:
        code = _failed(failure)
    else:
        return code
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def run(arguments: list[str]) -> int:
    """Exit code: 0 done, 1 failed, 2 wrong use."""
    typed = next((word for word in arguments if not word.startswith("-")), "")
    try:
        code = build(typed)(arguments, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.Exit as ended:
        return ended.exit_code
    except typer.Abort:
        return FAILED
    except KeyboardInterrupt:
        return 130
    except Exception as failure:  # the user: a known failure is said in a sentence, any other is raised again
        return _failed(failure)


def _failed(failure: Exception) -> int:
    said = sentence(failure)
    if said is None:
        raise failure
    words, code = said
    output.err.print("error: ", style="bold red", end="")
    output.err.print(words, soft_wrap=True)
    return code


def _print_release(asked: bool) -> None:
    if asked:
        print(f"headrace {version('headrace')}")
        raise typer.Exit


def build(typed: str) -> typer.Typer:
    """The command: the noun or verb `typed` in full, all others by name and purpose only."""
    app = typer.Typer(
        name="headrace",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback(help="Generation jobs onto GPU clusters: fair, full, explained, replayable.")(_headrace)
    for verb, (module, purpose) in VERBS.items():
        command = getattr(import_module(f"cli.{module}"), verb) if verb == typed else _nothing
        app.command(verb, help=purpose)(command)
    for noun, purpose in NOUNS.items():
        group = import_module(f"cli.{noun}").app if noun == typed else typer.Typer()
        app.add_typer(group, name=noun, help=purpose)
    return app


def _headrace(
    release: Annotated[
        bool, typer.Option("--version", help="Print the release and end.", callback=_print_release, is_eager=True)
    ] = False,
) -> None:
    """What may stand before every noun and verb."""


def _nothing() -> None:
    """Stands for a verb that was not typed."""

"""The entry point: all nouns under one command, every failure as one sentence and an exit code.

Only the noun that was typed is imported: each noun imports what it talks to (Postgres, S3, Kafka), and a person waits
for that.
"""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from cli import output
from cli.errors import FAILED, WRONG_USE, CommandFailed

NOUNS = {
    "jobs": "Requests to run a model once.",
    "models": "Versions of models, and the aliases that point to them.",
    "clusters": "Clusters and their nodes.",
    "pools": "Pools: put on hold, release.",
    "policy": "Tiers, SLOs, pools, clusters and limits.",
    "audit": "The history: verified, told, exported.",
    "quarantine": "Records that could not be acted on: see, submit again, pass over.",
    "results": "What attempts left in the object store: swept.",
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

_WRONG_USE_CODES = (
    "invalid",
    "unknown_model",
    "unknown_alias",
    "unknown_version",
    "unknown_pool",
    "conflict",
    "withdrawn",
)


def main() -> None:
    """Runs the command that was typed."""
    sys.exit(run(sys.argv[1:]))


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
        said = sentence(failure)
        if said is None:
            raise
        words, code = said
        output.err.print("error: ", style="bold red", end="")
        output.err.print(words, soft_wrap=True)
        return code


def build(typed: str) -> typer.Typer:
    """The command: the noun or verb `typed` in full, all others by name and purpose only."""
    app = typer.Typer(
        name="headrace",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        help="Generation jobs onto GPU clusters: fair, full, explained, replayable.",
    )
    for verb, (module, purpose) in VERBS.items():
        command = getattr(import_module(f"cli.{module}"), verb) if verb == typed else _nothing
        app.command(verb, help=purpose)(command)
    for noun, purpose in NOUNS.items():
        group = import_module(f"cli.{noun}").app if noun == typed else typer.Typer()
        app.add_typer(group, name=noun, help=purpose)
    return app


def _nothing() -> None:
    """Stands for a verb that was not typed."""


def sentence(failure: Exception) -> tuple[str, int] | None:
    """(what to say, exit code) for a failure that a user may meet; None for a defect of ours."""
    if isinstance(failure, CommandFailed):
        return str(failure), failure.code
    if hasattr(failure, "format_message"):  # the option parser's own: an unknown option, a missing argument
        return f"{failure.format_message()} (see --help)", WRONG_USE
    from confluent_kafka import KafkaException
    from pydantic import ValidationError

    from audit.ledger.reader import ExportUnreadable
    from local.errors import CannotStart
    from registry.errors import RegistryError
    from runtime.entry import settings_fault
    from runtime.kafka import DeliveryUnclear, OffsetGone
    from runtime.object_store import UNAVAILABLE
    from runtime.postgres_troubles import DATABASE_ERRORS, in_a_sentence
    from runtime.proxies import ProxyUnusable
    from runtime.settings import SettingUnusable

    if isinstance(failure, ValidationError):
        return settings_fault(failure), WRONG_USE
    if isinstance(failure, RegistryError):
        return str(failure), WRONG_USE if failure.code in _WRONG_USE_CODES else FAILED
    if isinstance(failure, ExportUnreadable | SettingUnusable):
        return str(failure), WRONG_USE
    if isinstance(failure, CannotStart | ProxyUnusable):
        return str(failure), FAILED
    if isinstance(failure, DeliveryUnclear):
        return f"{failure}; run the same command again: it changes nothing twice", FAILED
    if isinstance(failure, OffsetGone):
        return f"{failure}; records were removed while they were read: run the same command again", FAILED
    if isinstance(failure, KafkaException):
        return f"Kafka does not answer ({failure.args[0].str()}); see `headrace status`", FAILED
    if isinstance(failure, UNAVAILABLE):
        return f"{failure}; see `headrace status`, or set HEADRACE_S3_ENDPOINT", FAILED
    if isinstance(failure, DATABASE_ERRORS):
        return in_a_sentence(failure), FAILED
    return None

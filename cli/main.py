"""The entry point: all nouns under one command, every failure as one sentence and an exit code."""

from __future__ import annotations

import sys

import typer
from confluent_kafka import KafkaException
from sqlalchemy.exc import OperationalError

from cli import audit, clusters, demo, jobs, keys, models, output, policy, stack
from cli.errors import FAILED, WRONG_USE, CommandFailed
from local.errors import CannotStart
from registry.errors import RegistryError
from runtime.kafka import DeliveryUnclear

app = typer.Typer(
    name="headrace",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Generation jobs onto GPU clusters: fair, full, explained, replayable.",
)
app.command()(stack.up)
app.command()(stack.down)
app.command()(stack.status)
app.command()(stack.doctor)
app.command()(demo.demo)
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.add_typer(clusters.app, name="clusters")
app.add_typer(policy.app, name="policy")
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")

_WRONG_USE_CODES = ("invalid", "unknown_model", "unknown_alias", "unknown_version", "unknown_pool", "conflict")


def main() -> None:
    """Run the command that was typed."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Exit code: 0 done, 1 failed, 2 wrong use."""
    try:
        code = app(arguments, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.Exit as ended:
        return ended.exit_code
    except typer.Abort:
        return FAILED
    except CommandFailed as failure:
        return _say(failure, failure.code)
    except RegistryError as failure:
        return _say(failure, WRONG_USE if failure.code in _WRONG_USE_CODES else FAILED)
    except CannotStart as failure:
        return _say(failure, FAILED)
    except DeliveryUnclear as failure:
        return _say(f"{failure}; run the same command again: it changes nothing twice", FAILED)
    except KafkaException as failure:
        return _say(f"Kafka does not answer ({failure.args[0].str()}); see `headrace status`", FAILED)
    except OperationalError:
        return _say("Postgres does not answer; see `headrace status`, or set DATABASE_URL", FAILED)
    except KeyboardInterrupt:
        return 130
    except Exception as failure:
        if hasattr(failure, "format_message"):  # click's own: an unknown option, a missing argument
            return _say(f"{failure.format_message()} (see --help)", WRONG_USE)
        raise


def _say(failure: Exception | str, code: int) -> int:
    output.err.print("error: ", style="bold red", end="")
    output.err.print(str(failure), markup=False, soft_wrap=True)
    return code

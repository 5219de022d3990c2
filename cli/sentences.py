"""Every failure that a user may meet, as one sentence and an exit code."""

from __future__ import annotations

import errno

from cli.errors import FAILED, WRONG_USE, CommandFailed

_WRONG_USE_CODES = (
    "invalid",
    "unknown_model",
    "unknown_alias",
    "unknown_version",
    "unknown_pool",
    "conflict",
    "withdrawn",
)
"""Of RegistryError."""
_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def sentence(failure: Exception) -> tuple[str, int] | None:
    """(what to say, exit code) for a failure that a user may meet; None for a defect of ours."""
    if isinstance(failure, CommandFailed):
        return str(failure), failure.code
    if hasattr(failure, "format_message"):  # the option parser's own: an unknown option, a missing argument
        said = failure.format_message() or "expected a command, found none"
        return f"{said} (see --help)", WRONG_USE
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
    if isinstance(failure, OSError):
        return _of_the_machine(failure)
    return None


def _of_the_machine(failure: OSError) -> tuple[str, int] | None:
    """A file that may not be read, or an output that cannot be written."""
    said = (failure.strerror or "an error").lower()
    if failure.filename is not None:
        return f"expected a file that can be used, found {said}: {failure.filename}", FAILED
    if failure.errno in _OF_OUTPUT:
        return f"expected an output that takes what is printed, found {said}", FAILED
    return None

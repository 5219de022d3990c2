"""Files that a person names: policy documents to read, and what a command writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from cli.errors import WrongUse
from contract.policy import Policy
from contract.policy_document import PolicyInvalid, parse


def policy_in(file: Path) -> Policy:
    """The policy in this document. WrongUse."""
    try:
        return parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongUse(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WrongUse(f"{file}: expected a YAML document in UTF-8, found other bytes") from None
    except PolicyInvalid as error:
        raise WrongUse(f"{file}: {error}") from None


@contextmanager
def written(file: Path) -> Iterator[TextIO]:
    """The file, open for writing text. WrongUse when the file cannot be written."""
    try:
        with file.open("w", encoding="utf-8", newline="") as out:
            yield out
    except OSError as error:
        raise WrongUse(f"cannot write {file}: {error.strerror}") from None

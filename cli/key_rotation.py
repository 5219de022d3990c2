"""`headrace keys rotate` and `keys status`: one installation key replaces another while everything runs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import httpx
import msgspec
import typer
from prometheus_client.parser import text_string_to_metric_families

from cli import api_health, output
from cli.connection import DATA_DEFAULT, Data, elsewhere
from cli.errors import CommandFailed, WrongUse
from cli.output import Format, Output
from local import installation_key, stack
from local.options import Layout
from local.ports import HOST
from local.status import StackStatus
from runtime.settings import variable_of

QUIET_S = 60.0
"""A key that nobody has signed by for so long may go: a node says twelve times in this time that it is alive."""
_SEEN = "headrace_signature_seen_timestamp_seconds"
"""Gauge of streams.metrics."""

FOR_OTHERS = (
    "processes that the stack does not start sign by the old key, which stays in force: give each the key that"
    " `headrace keys derive SIGNER` prints now"
)


class KeyInForce(msgspec.Struct, frozen=True):
    key_id: str
    newest: bool
    """Others sign by keys that are derived from it."""
    parts: list[str]
    """Processes of the stack that run with a key derived from it."""
    seen: dict[str, float]
    """By role: how many seconds ago the scheduler last read a record that was signed so."""


def status(data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """The installation's keys in force, who has keys derived from each, and when the scheduler last read of them."""
    known = _in_force(_file(data), stack.status(data))
    if form is Format.JSON:
        return output.as_json(known)
    output.table(
        ["key", "", "parts of the stack", "last read"],
        [
            (
                key.key_id,
                "signs" if key.newest else "goes",
                ", ".join(key.parts),
                ", ".join(f"{role} {ago_s:.0f} s ago" for role, ago_s in sorted(key.seen.items())),
            )
            for key in known
        ],
        empty="none",
    )


def rotate(
    finish: Annotated[bool, typer.Option("--finish", help="Take the old key out of force.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --finish: at once, whoever still signs by it. For a key that leaked.")
    ] = False,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Draw a new installation key, by which the stack's processes sign from now on. The old one stays in force until
    `--finish`. A stack that runs starts its processes anew, one after another; jobs go on.

    Of the embedded stack. Elsewhere: docs/runbook.md."""
    file = _file(data)
    if finish:
        return _finish(file, data, force=force, form=form)
    new, old = installation_key.rotate(file)
    if form is Format.JSON:
        return output.as_json({"new": new.id, "old": old.id})
    output.out.print(f"{new.id} replaces {old.id}; both are in force", soft_wrap=True)
    if stack.status(data).running:
        output.err.print("the stack's processes start anew, one after another: `headrace keys status` shows them")
    output.err.print(f"{FOR_OTHERS}. Then `headrace keys rotate --finish`", soft_wrap=True)


def _finish(file: Path, data: Path, *, force: bool, form: Format) -> None:
    running = stack.status(data)
    keys = _in_force(file, running)
    if len(keys) == 1:
        raise WrongUse(f"expected two installation keys in force, found {keys[0].key_id} alone: nothing is to finish")
    reason = _reason_to_wait(keys, running)
    if reason and not force:
        raise CommandFailed(f"{reason}; `--force` does it all the same: what they sign is refused then")
    gone = installation_key.finish(file)
    assert gone is not None
    if form is Format.JSON:
        return output.as_json({"in_force": [keys[0].key_id], "gone": gone.id})
    output.out.print(f"{gone.id} is in force no longer: {keys[0].key_id} is", soft_wrap=True)


def _reason_to_wait(keys: Sequence[KeyInForce], running: StackStatus) -> str:
    """Why the old key cannot go yet; empty when it can."""
    new, old = keys
    if not running.running:
        return (
            f"expected a stack that runs, found none: it may hold records that are signed by {old.key_id} and not read"
            " yet; `headrace up` first"
        )
    if old.parts:
        return f"expected nobody to sign by {old.key_id}, found {', '.join(old.parts)}: the stack starts them anew"
    if not new.seen:
        return f"expected the scheduler to have read a record signed by {new.key_id}, found none; try again soon"
    late = sorted(role for role, ago_s in old.seen.items() if ago_s < QUIET_S)
    if late:
        return (
            f"expected nobody to have signed by {old.key_id} for {QUIET_S:.0f} s, found {', '.join(late)}; wait, or"
            " give that process the key that `headrace keys derive SIGNER` prints"
        )
    return ""


def _file(data: Path) -> Path:
    """The installation's keys of the embedded stack. WrongUse where it has none, or they are not its own."""
    path = Layout(data).installation_keys
    if elsewhere() or variable_of("installation_keys") in os.environ:
        raise WrongUse(
            "expected the embedded stack of --data with a key of its own, found an installation that the environment"
            " names: there, put a new key (`openssl rand -hex 32`) before the old one in HEADRACE_INSTALLATION_KEYS of"
            " all schedulers, then give each process the key that `headrace keys derive` prints, then take the old one"
            f" away once {_SEEN} shows that nobody signs by it (docs/runbook.md)"
        )
    if not path.exists():
        raise WrongUse(f"expected a stack in {data.absolute()}, found none; `headrace up` starts one, with a new key")
    return path


def _in_force(file: Path, running: StackStatus) -> list[KeyInForce]:
    """The newest first."""
    seen = _seen(running)
    return [
        KeyInForce(
            key.id,
            number == 0,
            [part.name for part in running.parts if part.key_id == key.id],
            seen.get(key.id, {}),
        )
        for number, key in enumerate(installation_key.keys_in(file))
    ]


def _seen(running: StackStatus) -> dict[str, dict[str, float]]:
    """By id of a key and role, how long ago the scheduler of the stack read of it. Empty while it does not answer."""
    found: dict[str, dict[str, float]] = {}
    for part in running.parts:
        if part.name != "scheduler" or not part.port:
            continue
        try:
            text = api_health.get(f"http://{HOST}:{part.port}/metrics").text
        except httpx.HTTPError:
            continue
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == _SEEN:
                    ago_s = max(0.0, time.time() - sample.value)
                    found.setdefault(sample.labels["key_id"], {})[sample.labels["role"]] = ago_s
    return found

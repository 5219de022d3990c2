"""`headrace quarantine …`: what could not be acted on, why, and what to do with it."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from cli import output
from cli.connection import DATA_DEFAULT, Data, settings
from cli.errors import CommandFailed, WrongUse
from cli.output import Format, Output
from contract.topics import QUARANTINE, SUBMISSIONS
from operations import quarantine
from operations.quarantine import Place, PlaceInvalid, SetAside
from runtime.kafka import Producer, Record, offsets
from runtime.object_store import ObjectStore
from runtime.settings import Settings
from streams.door import resubmission, skips
from streams.door.intake_positions import IntakePositions

app = typer.Typer(no_args_is_help=True, help="Records that could not be acted on: see, submit again, pass over.")

PASSED_WITHIN_S = 15.0
POLL_S = 0.1
SHOWN_CHARACTERS_MAX = 4_000

RecordWords = Annotated[
    list[str], typer.Argument(metavar="RECORD", help="submissions/0/17, or topic, partition and offset as three words.")
]


@app.command("list")
def list_records(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most records to list, newest first.")] = 50,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Records that were set aside, newest first, with place and reason."""
    found = quarantine.newest(settings(data).brokers, limit)
    if form is Format.JSON:
        return output.as_json([_document(entry) for entry in found])
    output.table(
        ["when", "topic", "partition", "offset", "bytes", "reason"],
        [
            (
                output.moment(entry.at_ms),
                Text(entry.place.topic),
                entry.place.partition,
                entry.place.offset,
                entry.value_bytes,
                Text(entry.reason),
            )
            for entry in found
        ],
        empty="nothing is in quarantine",
    )


@app.command()
def show(record: RecordWords, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """One record: the reason, key and headers while the record is kept, and its value, escaped."""
    place = _place(record)
    here = settings(data)
    entry = _known(here, place)
    kept = quarantine.original(here.brokers, place) if place.topic != QUARANTINE else None
    value = entry.value if kept is None else kept.value or b""
    if form is Format.JSON:
        return output.as_json({**_document(entry), **_kept(kept), "value_base64": base64.b64encode(value).decode()})
    facts: list[tuple[str, Any]] = [
        ("record", Text(str(entry.place))),
        ("set aside", output.moment(entry.at_ms)),
        ("reason", Text(entry.reason)),
        ("bytes", entry.value_bytes),
        ("kept", _where(place, kept)),
    ]
    if kept is not None:
        facts.append(("key", Text(quarantine.text_of(kept.key or b""))))
        facts += [
            (f"header {quarantine.visible(name)}", Text(quarantine.text_of(header or b"")))
            for name, header in kept.headers
        ]
    facts.append(("value", Text(_shown(value, entry.value_bytes if kept is None else len(value)))))
    output.facts(facts)


@app.command()
def resubmit(record: RecordWords, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Have intake judge a record of `submissions` anew. The record is written there again, with key and headers."""
    place = _submission(record, "submitted again")
    here = settings(data)
    producer = Producer(here.brokers, "headrace-quarantine")
    try:
        delivery = resubmission.resubmit(here, producer, place.partition, place.offset)
    except resubmission.CannotResubmit as error:
        raise CommandFailed(str(error)) from None
    finally:
        producer.close()
    again = Place(SUBMISSIONS, delivery.partition, delivery.offset)
    if form is Format.JSON:
        return output.as_json({"record": str(place), "again": str(again)})
    words = "is submitted again as"
    output.out.print(f"{place} {words} {again}; if it is refused again, `headrace quarantine list` says why")


@app.command()
def skip(record: RecordWords, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Have intake pass over a record of `submissions` at which intake is stuck. The record goes to `quarantine`."""
    place = _submission(record, "passed over")
    here = settings(data)
    _, begin = offsets(here.brokers, QUARANTINE, 0)
    try:
        skips.order_skip(here, place.partition, place.offset)
    except skips.CannotSkip as error:
        raise CommandFailed(str(error)) from None
    _await_passed(here, place, begin)
    if form is Format.JSON:
        return output.as_json({"record": str(place), "passed": True})
    output.out.print(f"{place} is passed over; `headrace quarantine resubmit {place}` brings it back while it is kept")


def _await_passed(here: Settings, place: Place, begin: int) -> None:
    """Waits until `quarantine` says so, at offset `begin` or later."""
    positions = IntakePositions(ObjectStore(here), here.brokers)
    deadline = time.monotonic() + PASSED_WITHIN_S
    while True:
        # ask first: intake writes what it passes over into quarantine before it moves its position
        is_behind = positions.place(place.partition).offset > place.offset
        _, end = offsets(here.brokers, QUARANTINE, 0)
        if end > begin and any(entry.place == place for entry in quarantine.newest(here.brokers, end - begin)):
            return
        if is_behind:
            raise CommandFailed(
                f"intake was not held up at {place} any more and took it as any other record, before it heard of the"
                " order; if the record made a job, `headrace jobs cancel` ends the job"
            )
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"it is ordered, but intake has not passed over {place} within {PASSED_WITHIN_S:.0f} s; it will when it"
                " runs and comes to the record: see `headrace status`"
            )
        time.sleep(POLL_S)


def _place(words: Sequence[str]) -> Place:
    if len(words) not in (1, 3):
        raise WrongUse("expected one record, like submissions/0/17 or `submissions 0 17`")
    try:
        return quarantine.place_of("/".join(words))
    except PlaceInvalid as error:
        raise WrongUse(str(error)) from None


def _submission(words: Sequence[str], what: str) -> Place:
    place = _place(words)
    if place.topic != SUBMISSIONS:
        raise WrongUse(
            f"only a record of `{SUBMISSIONS}` can be {what}, found one of {place.topic[:80]!r}; what lies in `jobs`"
            " was read, and the ledger says so: whoever wrote it has to write another"
        )
    return place


def _known(here: Settings, place: Place) -> SetAside:
    entry = quarantine.find(here.brokers, place)
    if entry is None:
        raise CommandFailed(
            f"expected {place} in `{QUARANTINE}`, found nothing of it there; `{QUARANTINE}` keeps records for some days"
            " only, and `headrace quarantine list` shows those"
        )
    return entry


def _document(entry: SetAside) -> dict[str, Any]:
    return {
        "record": str(entry.place),
        "topic": entry.place.topic,
        "partition": entry.place.partition,
        "offset": entry.place.offset,
        "at_ms": entry.at_ms,
        "reason": entry.reason,
        "bytes": entry.value_bytes,
    }


def _kept(kept: Record | None) -> dict[str, Any]:
    if kept is None:
        return {"kept": False, "key": None, "headers": None}
    headers = [[quarantine.visible(name), quarantine.text_of(value or b"")] for name, value in kept.headers]
    return {"kept": True, "key": quarantine.text_of(kept.key or b""), "headers": headers}


def _where(place: Place, kept: Record | None) -> str:
    if kept is not None:
        return f"yes, in {place.topic}"
    return "no longer: of its value this is the copy in quarantine, without key and headers"


def _shown(value: bytes, whole_bytes: int) -> str:
    text = quarantine.text_of(value)
    if len(text) > SHOWN_CHARACTERS_MAX:
        return f"{text[:SHOWN_CHARACTERS_MAX]}… (cut here; -o json has {len(value)} of its {whole_bytes} bytes)"
    if len(value) < whole_bytes:
        return f"{text}… (the copy ends here, after {len(value)} of {whole_bytes} bytes)"
    return text

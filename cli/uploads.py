"""`headrace uploads …`: create, list, show, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import output, upload_sending
from cli.api_client import Document
from cli.connection import DATA_DEFAULT, Data, api
from cli.errors import WrongUse
from cli.output import Format, Output
from contract.media import UPLOAD

app = typer.Typer(no_args_is_help=True, help="Media that you bring, for inputs of jobs.")


def _known_form(upload: str) -> str:
    """The id, also of `upload:ID`. WrongUse when it is none: it becomes a part of an address."""
    id = upload.removeprefix("upload:")
    if not UPLOAD.fullmatch(id):
        raise WrongUse(f"expected an upload's id, u- and 32 hexadecimal digits, found {upload[:80]!r}")
    return id


UploadId = Annotated[
    str, typer.Argument(metavar="UPLOAD", callback=_known_form, help="The id that `uploads create` printed.")
]


@app.command()
def create(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video, an image or a sound.")],
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Bring a file, and print the name by which an input of a job names it. The same file again, after an interruption
    or at any time while it is kept, sends what has not arrived."""
    with api(data) as client:
        upload = upload_sending.bring(client, file)
    if form is Format.JSON:
        return output.as_json(upload)
    output.err.print(f"ready; kept until {output.moment(upload['expires_ms'])}, and longer while jobs name it")
    output.whole(upload["name"])


@app.command("list")
def list_uploads(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most uploads to list, newest first.")] = 50,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Your uploads, newest first."""
    found: list[Document] = []
    cursor = None
    with api(data) as client:
        while len(found) < limit:
            page = client.get("/v1/uploads", limit=min(limit - len(found), 200), cursor=cursor)
            found += page["uploads"]
            cursor = page["cursor"]
            if not cursor:
                break
    if form is Format.JSON:
        return output.as_json(found)
    output.table(
        ["upload", "state", "bytes", "created", "kept until", ""],
        [
            (
                upload["upload"],
                upload["state"],
                upload["bytes"],
                output.moment(upload["created_ms"]),
                output.moment(upload["expires_ms"]),
                upload["reason"],
            )
            for upload in found
        ],
        empty="no upload; bring one with `headrace uploads create FILE`",
    )


@app.command()
def show(upload: UploadId, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """One upload, and how much of it has arrived."""
    with api(data) as client:
        found = client.get(f"/v1/uploads/{upload}")
    if form is Format.JSON:
        return output.as_json(found)
    shown, pieces = found["upload"], found["pieces"]
    arrived = sum(piece["bytes"] for piece in pieces if piece["arrived"])
    output.facts(
        [
            ("name", shown["name"]),
            ("state", shown["state"] + (f" ({shown['reason']})" if shown["reason"] else "")),
            ("bytes", f"{arrived} of {shown['bytes']} have arrived" if pieces else shown["bytes"]),
            ("sha256", shown["sha256"] or "none was said"),
            ("created", output.moment(shown["created_ms"])),
            ("kept until", output.moment(shown["expires_ms"])),
        ]
    )


@app.command()
def delete(upload: UploadId, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Remove an upload. What jobs have prepared of it stays theirs."""
    with api(data) as client:
        answer = client.delete(f"/v1/uploads/{upload}")
    if form is Format.JSON:
        return output.as_json(answer)
    output.out.print(f"{upload} is {answer['state']}")

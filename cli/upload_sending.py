"""Bringing a file to the API: what has arrived is never sent twice, by this command or an earlier one.

Nothing is remembered here. An upload of the same length and hash that the API still knows is the same file: if it is
ready it is used again, and if an earlier command was interrupted this one goes on with it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from cli import output
from cli.api_client import ApiClient, Document, PieceNotTaken
from cli.errors import CommandFailed, WrongUse
from contract.media import BYTES_MAX

BLOCK_BYTES = 256 * 1024
TRIES = 5
"""For each piece, with a rest between that doubles."""
REST_S = 0.5
LOOKED_AT_MAX = 1_000
"""Uploads, the newest first, among which the same file is looked for."""
_KEPT_ON = ("pending", "ready")
_LINK_OVER, _IS_THERE = 403, (409, 412)

Advance = Callable[[int], object]


def bring(client: ApiClient, path: Path) -> Document:
    """The upload, which is ready. WrongUse for a file that cannot be brought."""
    try:
        with path.open("rb") as file:
            size, sha256 = _measured(path, file)
            known = _known(client, size, sha256)
            if known is not None and known["state"] == "ready":
                return known
            with _bar(path.name, size) as advance:
                return _brought(client, file, known, size, sha256, advance)
    except OSError as error:
        raise WrongUse(f"cannot read {path}: {error.strerror}; name another file") from None


def _measured(path: Path, file: BufferedReader) -> tuple[int, str]:
    digest = hashlib.file_digest(file, "sha256")
    size = file.tell()
    if not 1 <= size <= BYTES_MAX:
        raise WrongUse(f"{path}: expected a file of 1 to {BYTES_MAX} bytes, found {size}")
    return size, digest.hexdigest()


def _known(client: ApiClient, size: int, sha256: str) -> Document | None:
    """The newest upload of this very file that is pending or ready."""
    cursor, looked_at = None, 0
    while looked_at < LOOKED_AT_MAX:
        page = client.get("/v1/uploads", limit=200, cursor=cursor)
        for upload in page["uploads"]:
            if (upload["bytes"], upload["sha256"]) == (size, sha256) and upload["state"] in _KEPT_ON:
                return dict(upload)
        looked_at += len(page["uploads"])
        cursor = page["cursor"]
        if not cursor:
            break
    return None


def _brought(
    client: ApiClient, file: BufferedReader, known: Document | None, size: int, sha256: str, advance: Advance
) -> Document:
    if known is None:
        detail = client.post("/v1/uploads", {"bytes": size, "sha256": sha256})
    else:
        detail = client.get(f"/v1/uploads/{known['upload']}")
    here = f"/v1/uploads/{detail['upload']['upload']}"
    for piece in detail["pieces"]:
        if piece["arrived"]:
            advance(piece["bytes"])
        else:
            _send(client, here, file, piece, advance)
    return client.post(f"{here}/complete", {})


def _send(client: ApiClient, here: str, file: BufferedReader, piece: Document, advance: Advance) -> None:
    """Send the piece, more than once if need be. CommandFailed."""
    for tries_left in reversed(range(TRIES)):
        sent = 0

        def counted(number: int) -> None:
            nonlocal sent
            sent += number
            advance(number)

        try:
            client.put_piece(piece, _blocks(file, piece["offset"], piece["bytes"], counted))
        except PieceNotTaken as error:
            advance(-sent)
            if error.status in _IS_THERE and _now(client, here, piece)["arrived"]:
                advance(piece["bytes"])
                return
            if not tries_left or not (error.passes or error.status == _LINK_OVER):
                raise
            time.sleep(REST_S * 2 ** (TRIES - 1 - tries_left))
            if error.status == _LINK_OVER:
                piece = _now(client, here, piece)
            elif not error.status:
                piece = {**piece, "url": ""}  # a store that cannot be reached from here: through the API
        else:
            return


def _now(client: ApiClient, here: str, piece: Document) -> Document:
    """The piece as the API knows it now, with a new link."""
    pieces: list[Document] = client.get(here)["pieces"]
    found = next((each for each in pieces if each["part"] == piece["part"]), None)
    if found is None:
        raise CommandFailed("expected the upload to be pending, found that it has ended meanwhile; run this again")
    return found


def _blocks(file: BufferedReader, offset: int, size: int, counted: Advance) -> Iterator[bytes]:
    file.seek(offset)
    while size:
        block = file.read(min(BLOCK_BYTES, size))
        if not block:
            raise WrongUse("expected the file to stay as it is, found that it became shorter; run this again")
        size -= len(block)
        yield block
        counted(len(block))


class _bar:
    """A bar on a terminal; nothing in a pipe."""

    def __init__(self, name: str, size: int) -> None:
        self._name, self._size = name, size
        self._progress: Progress | None = None

    def __enter__(self) -> Advance:
        if not output.err.is_terminal:
            return lambda number: None
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = progress = Progress(*columns, console=output.err)
        progress.start()
        task = progress.add_task(self._name, total=self._size)
        return lambda number: progress.advance(task, number)

    def __exit__(self, *error: Any) -> None:
        if self._progress is not None:
            self._progress.stop()

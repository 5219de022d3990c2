"""One preparation, from its order to its report: fetched, checked, decoded, stored, in one thread.

Theory of operation. Whatever happens ends in one report, or in none when nobody wants the preparation any more.
A refusal is the user's, and its sentence lies in the store before it is reported. Whatever is ours, a store that is
away, a full disk, a defect of this code, is an outage: the job rests and is prepared again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from contract.media import PREPARED_BYTES_MAX
from contract.orders import Payload, Prepare
from contract.preparation_reports import (
    PreparationDone,
    PreparationRefused,
    PreparationReport,
    PreparationStopped,
)
from contract.prepared import PreparedFile, PreparedManifest, prepared_name
from cpu_worker.io.file_decoders import FileDecoder
from cpu_worker.io.media_sources import (
    MediaHere,
    MediaSources,
    MediaWanted,
    SourceStore,
    UrlFetcher,
    digest_of_file,
    place_of,
)
from cpu_worker.io.patient_steps import PATIENCE_S, PatientSteps
from cpu_worker.io.preparation_time import PreparationTime
from cpu_worker.io.prepared_objects import PreparedObjects, PreparedStore
from cpu_worker.io.version_inputs import VersionInputs
from cpu_worker.rules.actions import PreparationPhase
from cpu_worker.rules.verdicts import (
    PreparationAbandoned,
    PreparationOutage,
    PreparationRefusal,
    PreparationTimeOver,
)
from runtime.worker.outages import GivenUp, OutageWaits
from runtime.worker.payloads import PayloadMissing, ReadPayload, payload_of, read_payload

log = structlog.get_logger(__name__)

REFUSAL_S = 60.0
"""How long the sentence of a refusal may take to be stored, beyond the time of the preparation."""


class MediaStore(SourceStore, PreparedStore, Protocol):
    """What a worker reads and writes."""


class PreparingTools(NamedTuple):
    """What all preparations of a worker work with."""

    store: MediaStore
    urls: UrlFetcher
    versions: VersionInputs
    read_payload: ReadPayload
    waits: OutageWaits
    payload_waits: OutageWaits
    """Of those who wait for `jobs`, which is another server than the store."""


class Told(NamedTuple):
    """Who hears how far a preparation is. Called in the preparation's thread."""

    moved: Callable[[PreparationPhase], None]
    holds: Callable[[int], None]
    """So many bytes of the preparation lie on this disk."""


class PreparationWork:
    """For one thread. `time` may be told by any thread that nobody wants the preparation any more."""

    def __init__(
        self,
        order: Prepare,
        tools: PreparingTools,
        decoder: FileDecoder,
        folder: Path,
        time: PreparationTime,
        told: Told,
    ) -> None:
        """`folder`: an empty directory of the preparation's own."""
        self._order = order
        self._tools = tools
        self._decoder = decoder
        self._folder = folder
        self._time = time
        self._told = told
        self._steps = PatientSteps(order.preparation, tools.waits, time)
        self._ms: dict[PreparationPhase, int] = {}
        self._phase: PreparationPhase | None = None
        self._since_s = _now_s()

    def report(self) -> PreparationReport | None:
        """None: the preparation was abandoned."""
        try:
            return self._done()
        except PreparationAbandoned:
            return None
        except PreparationRefusal as refusal:
            return self._refused(refusal)
        except PreparationTimeOver:
            return self._out_of_time()
        except PreparationOutage:
            return self._stopped()
        except OSError as error:
            log.warning("a preparation met a disk or a program of ours", **self._names(error))
            return self._stopped()
        except Exception as error:  # a defect of ours says nothing of the media, and must not leave the job open
            log.error("a preparation met a defect", **self._names(error))
            return self._stopped()

    # -- the phases -------------------------------------------------------------------------------------------------

    def _done(self) -> PreparationReport:
        order, steps = self._order, self._steps
        self._begin(PreparationPhase.FETCHING)
        payload = self._payload()
        rules = self._tools.versions.rules(order.version, steps)
        wanted = self._tools.versions.wanted(order.version, rules, payload.inputs)
        sources = self._fetched(wanted, payload)
        files = self._decoded(wanted, sources)
        self._begin(PreparationPhase.STORING)
        objects = PreparedObjects(self._tools.store, order, steps)
        for place, file in enumerate(files):
            objects.put_file(file.name, self._folder / file.name)
            if order.keep_sources:
                objects.put_source(place, sources[place].path)
        manifest = PreparedManifest(
            order.job, order.preparation, order.version, rules.digest, tuple(files), secrets.token_hex(16)
        )
        digest = objects.put_manifest(manifest)
        self._begin(PreparationPhase.STORING)
        return PreparationDone(
            order.job,
            order.preparation,
            digest,
            sum(file.bytes for file in files),
            self._ms.get(PreparationPhase.FETCHING, 0),
            self._ms.get(PreparationPhase.CHECKING, 0),
            self._ms.get(PreparationPhase.DECODING, 0) + self._ms.get(PreparationPhase.STORING, 0),
        )

    def _payload(self) -> Payload:
        carried = payload_of(self._order)
        if carried is not None:
            return carried
        order, time, waits = self._order, self._time, self._tools.payload_waits
        ends_s = waits.now_s() + PATIENCE_S
        try:
            return read_payload(
                order, self._tools.read_payload, lambda: not time.is_over and waits.now_s() < ends_s, waits
            )
        except GivenUp:
            time.met_outage = True
            time.look()
            raise PreparationOutage from None
        except PayloadMissing:
            raise PreparationRefusal(
                "payload_missing", "inputs: expected what was submitted, found it gone; submit the job again"
            ) from None

    def _fetched(self, wanted: list[MediaWanted], payload: Payload) -> list[MediaHere]:
        order, tools = self._order, self._tools
        sources = MediaSources(tools.store, tools.urls, self._steps, order.tenant, payload.outputs)
        here: list[MediaHere] = []
        for place, each in enumerate(wanted):
            self._time.look()
            here.append(sources.fetch(each, self._folder / f"source-{place}"))
            self._told.holds(sum(source.bytes for source in here))
        return here

    def _decoded(self, wanted: list[MediaWanted], sources: list[MediaHere]) -> list[PreparedFile]:
        files: list[PreparedFile] = []
        total = sum(source.bytes for source in sources)
        self._begin(PreparationPhase.CHECKING)
        for each, source in zip(wanted, sources, strict=True):
            self._decoder.check(each, source)
        self._begin(PreparationPhase.DECODING)
        for place, (each, source) in enumerate(zip(wanted, sources, strict=True)):
            self._time.look()
            name = prepared_name(place, each.kind, each.rule.form)
            target = self._folder / name
            facts = self._decoder.decode(each, source, target, self._folder / f"scratch-{place}", self._time)
            size = target.stat().st_size
            total += size
            if sum(file.bytes for file in files) + size > PREPARED_BYTES_MAX:
                raise PreparationRefusal(
                    "too_large",
                    f"inputs.{place_of(each)}: expected media of which a model gets at most {PREPARED_BYTES_MAX} bytes"
                    " in all, found more; send fewer or shorter ones",
                )
            files.append(
                PreparedFile(each.field, each.at, name, digest_of_file(target), size, each.kind, each.rule.form, facts)
            )
            self._told.holds(total)
        return files

    def _begin(self, phase: PreparationPhase) -> None:
        now_s = _now_s()
        if self._phase is not None:
            self._ms[self._phase] = self._ms.get(self._phase, 0) + round((now_s - self._since_s) * 1000)
        self._phase, self._since_s = phase, now_s
        self._told.moved(phase)

    # -- the ends ---------------------------------------------------------------------------------------------------

    def _refused(self, refusal: PreparationRefusal) -> PreparationReport | None:
        order, time = self._order, PreparationTime(REFUSAL_S, self._tools.waits.now_s)
        if self._time.is_abandoned:
            return None
        self._told.moved(PreparationPhase.STORING)
        steps = PatientSteps(order.preparation, self._tools.waits, time)
        try:
            PreparedObjects(self._tools.store, order, steps).put_refusal(str(refusal))
        except (PreparationOutage, PreparationTimeOver):
            return self._stopped()
        return PreparationRefused(order.job, order.preparation, refusal.kind)

    def _out_of_time(self) -> PreparationReport | None:
        """The time is the media's, unless something of ours was away meanwhile."""
        if self._time.met_outage:
            return self._stopped()
        within_s = round(self._order.timeout_ms / 1000)
        return self._refused(
            PreparationRefusal(
                "decoder_time",
                f"inputs: expected media that are fetched and decoded within {within_s} s, found that it takes longer;"
                " send shorter or smaller ones",
            )
        )

    def _stopped(self) -> PreparationReport:
        return PreparationStopped(self._order.job, self._order.preparation, "outage")

    def _names(self, error: Exception) -> dict[str, str]:
        return {"job": self._order.job, "preparation": self._order.preparation, "error": type(error).__name__}


def _now_s() -> float:
    return time.monotonic()

"""One preparation, from its order to its report: whatever the user sent, and whatever of ours is away meanwhile."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from contract.media import EXPECTED
from contract.names import digest_of
from contract.orders import Prepare
from contract.preparation_reports import PreparationDone, PreparationRefused, PreparationStopped
from contract.prepared import MANIFEST_NAME, REFUSAL_NAME, UPLOAD_DATA, UPLOAD_READY, upload_prefix
from contract.results import attempt_prefix
from cpu_worker.io.media_sources import URL_RESTS_S, MediaWanted
from cpu_worker.io.patient_steps import PATIENCE_S
from cpu_worker.io.preparation_time import PreparationTime
from cpu_worker.rules.actions import PreparationPhase
from cpu_worker.rules.verdicts import PreparationRefusal
from runtime.egress.refusal import EgressRefused, EgressTrouble, no_public_host, unreachable
from tests.twin.object_store import StoreFaults
from tests.unit.cpu_worker.preparing_bench import (
    DATA,
    OUTPUT,
    TENANT,
    UPLOAD,
    URL,
    PreparingBench,
    missing_version,
)
from tests.unit.cpu_worker.worker_orders import OTHER

VIDEO = {"video": f"upload:{UPLOAD}"}
WORDS = "words that a user wrote"
HOUR_S = 3_600


@pytest.fixture
def bench(tmp_path: Path) -> PreparingBench:
    return PreparingBench(tmp_path)


def refused(bench: PreparingBench, order: Prepare, kind: str) -> str:
    """The sentence, which lies in the store before the report."""
    assert bench.report(order) == PreparationRefused(order.job, order.preparation, kind)
    assert list(bench.stored(order)) == [REFUSAL_NAME], "and no prepared media beside it"
    return bench.sentence(order)


def is_outage(bench: PreparingBench, order: Prepare) -> None:
    assert bench.report(order) == PreparationStopped(order.job, order.preparation, "outage")
    assert bench.stored(order) == {}


# -- the way it should go ----------------------------------------------------------------------------------------------


def test_an_upload_is_fetched_checked_decoded_and_stored_and_its_manifest_is_the_last_object(
    bench: PreparingBench,
) -> None:
    order = bench.order(VIDEO)
    said = bench.report(order)
    assert isinstance(said, PreparationDone)
    stored = bench.stored(order)
    assert list(stored) == ["0.npy", MANIFEST_NAME]
    assert stored["0.npy"] == DATA[::-1]
    assert said.manifest == digest_of(stored[MANIFEST_NAME])
    manifest = bench.manifest(order)
    (file,) = manifest.files
    assert (file.field, file.index, file.bytes, file.sha256) == (
        "video",
        0,
        len(DATA),
        hashlib.sha256(DATA[::-1]).hexdigest(),
    )
    assert file.facts.source_sha256 == hashlib.sha256(DATA).hexdigest()
    assert (manifest.job, manifest.preparation, manifest.version) == (order.job, order.preparation, order.version)
    assert said.bytes == len(DATA)
    assert bench.phases[:4] == [
        PreparationPhase.FETCHING,
        PreparationPhase.CHECKING,
        PreparationPhase.DECODING,
        PreparationPhase.STORING,
    ]
    assert bench.held == [len(DATA), 2 * len(DATA)], "what lies on the disk counts towards the budget"


def test_no_two_manifests_have_the_same_digest(bench: PreparingBench) -> None:
    """Else whoever reads the ledger could tell that two users sent one file."""
    first, second = bench.report(bench.order(VIDEO)), bench.report(bench.order(VIDEO))
    assert isinstance(first, PreparationDone)
    assert isinstance(second, PreparationDone)
    assert first.manifest != second.manifest


def test_files_are_named_by_their_places_in_the_order_of_fields_and_of_lists(bench: PreparingBench) -> None:
    stills = [bench.upload(b"one", "u-" + "1" * 32), bench.upload(b"two", "u-" + "2" * 32)]
    order = bench.order({"video": f"upload:{UPLOAD}", "stills": stills})
    assert isinstance(bench.report(order), PreparationDone)
    named = [(file.field, file.index, file.name) for file in bench.manifest(order).files]
    assert named == [("stills", 0, "0.npy"), ("stills", 1, "1.npy"), ("video", 0, "2.npy")]
    assert bench.stored(order)["1.npy"] == b"owt"


def test_the_output_of_another_job_and_a_url_are_sources_too(bench: PreparingBench) -> None:
    bench.urls.script = [b"from a url"]
    order = bench.order({"video": OUTPUT, "stills": [URL]}, (bench.output(b"an output"),))
    assert isinstance(bench.report(order), PreparationDone)
    assert bench.stored(order)["1.npy"] == b"an output"[::-1]
    assert bench.stored(order)["0.npy"] == b"from a url"[::-1]
    ((_, bytes_max),) = bench.urls.asked
    assert bytes_max == bench.decoder.decoded[0].rule.bytes_max


def test_originals_are_kept_where_the_policy_says_so_and_nowhere_else(bench: PreparingBench) -> None:
    order = bench.order(VIDEO, keep_sources=True)
    bench.report(order)
    assert bench.stored(order)["source-0"] == DATA


def test_media_that_are_not_named_need_no_preparation(bench: PreparingBench) -> None:
    order = bench.order({"prompt": "x"})
    assert isinstance(bench.report(order), PreparationDone)
    assert bench.manifest(order).files == ()


def test_a_payload_that_the_order_lacks_is_read_by_its_offset(bench: PreparingBench) -> None:
    order = bench.order({"video": OUTPUT}, (bench.output(),), carried=False)
    assert isinstance(bench.report(order), PreparationDone)


def test_a_versions_schema_is_read_once(bench: PreparingBench) -> None:
    bench.report(bench.order(VIDEO))
    bench.report(bench.order(VIDEO, preparation="1.2.0"))
    assert bench.blobs.reads == 1


# -- what the user sent ------------------------------------------------------------------------------------------------


def no_ready(bench: PreparingBench) -> Any:
    bench.store.delete([upload_prefix(TENANT, UPLOAD) + UPLOAD_READY])
    return VIDEO


def broken_ready(bench: PreparingBench) -> Any:
    bench.store.place(upload_prefix(TENANT, UPLOAD) + UPLOAD_READY, b"{}")
    return VIDEO


def of_another_tenant(bench: PreparingBench) -> Any:
    return {"video": bench.upload(tenant="zeta")}


def of_another_upload(bench: PreparingBench) -> Any:
    bench.store.place(
        upload_prefix(TENANT, "u-" + "7" * 32) + UPLOAD_READY,
        bench.store.objects[upload_prefix(TENANT, UPLOAD) + UPLOAD_READY],
    )
    return {"video": "upload:u-" + "7" * 32}


def no_data(bench: PreparingBench) -> Any:
    bench.store.delete([upload_prefix(TENANT, UPLOAD) + UPLOAD_DATA])
    return VIDEO


def other_bytes(bench: PreparingBench) -> Any:
    bench.store.place(upload_prefix(TENANT, UPLOAD) + UPLOAD_DATA, b"a clap")
    return VIDEO


def more_bytes(bench: PreparingBench) -> Any:
    bench.store.place(upload_prefix(TENANT, UPLOAD) + UPLOAD_DATA, DATA + b"!")
    return VIDEO


def too_many_bytes(bench: PreparingBench) -> Any:
    return {"video": bench.upload(b"x" * 1_001)}


MEDIA: list[tuple[str, Callable[[PreparingBench], Any], str, str]] = [
    ("not complete", no_ready, "source_missing", "inputs.video: expected an upload of yours that is complete"),
    ("record broken", broken_ready, "source_missing", "complete"),
    ("another tenant's", of_another_tenant, "source_missing", "complete"),
    ("another upload's record", of_another_upload, "source_missing", "complete"),
    ("deleted meanwhile", no_data, "source_missing", "expected a file that is still there"),
    ("other bytes than hashed", other_bytes, "damaged", "expected the bytes that were recorded"),
    ("more bytes than recorded", more_bytes, "damaged", "expected the bytes that were recorded"),
    ("too many bytes", too_many_bytes, "too_large", "inputs.video: expected at most 1000 bytes, found more"),
    ("no name", lambda _: {"video": "clip.mp4"}, "bad_inputs", f"inputs.video: {EXPECTED}"),
    ("second of a list no name", lambda _: {"stills": [f"upload:{UPLOAD}", "x"]}, "bad_inputs", "inputs.stills[1]"),
    ("output that no door saw", lambda _: {"video": OUTPUT}, "source_missing", "expected an output of a job of yours"),
    ("breaks the schema", lambda _: {"video": 7}, "bad_inputs", "inputs.video"),
    ("field of another version", lambda _: {"clip": "x"}, "bad_inputs", "clip"),
    ("no JSON that we read", lambda _: b'{"prompt": 1e999}', "bad_inputs", "inputs"),
    ("no object", lambda _: b"[]", "bad_inputs", "inputs"),
    ("nine media", lambda _: {"stills": [f"upload:{UPLOAD}"] * 9}, "bad_inputs", "at most 8 media, found 9"),
]


@pytest.mark.parametrize(("inputs", "kind", "words"), [row[1:] for row in MEDIA], ids=[row[0] for row in MEDIA])
def test_what_can_never_be_prepared_is_refused_in_a_sentence(
    bench: PreparingBench, inputs: Callable[[PreparingBench], Any], kind: str, words: str
) -> None:
    assert words in refused(bench, bench.order(inputs(bench)), kind)


def test_an_output_that_was_erased_or_changed_meanwhile_is_refused(bench: PreparingBench) -> None:
    source = bench.output()
    key = attempt_prefix(OTHER, "1.0.0") + "video.mp4"
    bench.store.place(key, b"a clap")
    refused(bench, bench.order({"video": OUTPUT}, (source,)), "damaged")
    bench.store.delete([key])
    refused(bench, bench.order({"video": OUTPUT}, (source,), preparation="1.2.0"), "source_missing")


def test_a_payload_that_is_gone_is_no_outage(bench: PreparingBench) -> None:
    order = bench.order(VIDEO, carried=False)
    bench.jobs = lambda: None
    refused(bench, order, "payload_missing")
    bench.order({"prompt": "another"})
    refused(bench, order, "payload_missing")


URLS: list[tuple[str, EgressRefused, str]] = [
    ("answers 206", EgressRefused(EgressTrouble.STATUS, "found 206", status=206), "url_refused"),
    ("answers with HTML", EgressRefused(EgressTrouble.TYPE, "found another"), "not_media"),
    ("leads inside", no_public_host(), "url_refused"),
    ("too large", EgressRefused(EgressTrouble.SIZE, "found more"), "too_large"),
    ("compressed", EgressRefused(EgressTrouble.ENCODING, "found compressed"), "url_refused"),
    ("certificate of another", EgressRefused(EgressTrouble.CERTIFICATE, "found another"), "url_refused"),
]


@pytest.mark.parametrize(("answer", "kind"), [row[1:] for row in URLS], ids=[row[0] for row in URLS])
def test_a_url_that_cannot_be_taken_is_refused_at_once(bench: PreparingBench, answer: EgressRefused, kind: str) -> None:
    bench.urls.script = [answer]
    assert refused(bench, bench.order({"video": URL}), kind) == f"inputs.video: {answer}"
    assert len(bench.urls.asked) == 1


PASSING: list[tuple[str, EgressRefused]] = [
    ("away", unreachable()),
    ("sends nothing, for ever", EgressRefused(EgressTrouble.SLOW, "found that the server took longer")),
    ("ends in the middle", EgressRefused(EgressTrouble.CUT_SHORT, "found that the server ended in the middle")),
    ("answers 503", EgressRefused(EgressTrouble.STATUS, "found 503", status=503)),
    ("busy", EgressRefused(EgressTrouble.BUSY, "found too many")),
]


@pytest.mark.parametrize("answer", [row[1] for row in PASSING], ids=[row[0] for row in PASSING])
def test_a_url_whose_trouble_may_pass_is_asked_again_and_then_refused(
    bench: PreparingBench, answer: EgressRefused
) -> None:
    bench.urls.script = [answer] * 10
    assert str(answer) in refused(bench, bench.order({"video": URL}), "unreachable")
    assert len(bench.urls.asked) == len(URL_RESTS_S) + 1
    assert bench.clock.now_s() == sum(URL_RESTS_S)


def test_a_url_that_comes_back_is_fetched_from_its_beginning(bench: PreparingBench) -> None:
    bench.urls.script = [unreachable(), unreachable(), b"a clip"]
    order = bench.order({"video": URL})
    assert isinstance(bench.report(order), PreparationDone)
    assert bench.stored(order)["0.npy"] == b"a clip"[::-1], "nothing is left of the tries before"


def test_a_file_that_is_no_medium_is_refused_before_any_of_them_is_decoded(bench: PreparingBench) -> None:
    def checks(wanted: MediaWanted) -> None:
        if wanted.field == "video":
            raise PreparationRefusal("not_media", "inputs.video: expected a video, found a playlist")

    bench.decoder.checks = checks
    order = bench.order({"video": f"upload:{UPLOAD}", "stills": [f"upload:{UPLOAD}"]})
    assert "playlist" in refused(bench, order, "not_media")
    assert bench.decoder.decoded == []


def test_what_the_decoder_refuses_is_refused_with_its_sentence(bench: PreparingBench) -> None:
    bench.decoder.decodes = raising(PreparationRefusal("damaged", "inputs.video: expected whole pictures"))
    assert "whole pictures" in refused(bench, bench.order(VIDEO), "damaged")


def raising(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


def test_media_that_take_longer_than_the_policy_gives_are_refused(bench: PreparingBench) -> None:
    def decodes(_: Path, time: PreparationTime) -> None:
        bench.clock.pass_(HOUR_S)
        time.look()

    bench.decoder.decodes = decodes
    assert "within 60 s" in refused(bench, bench.order(VIDEO, timeout_ms=60_000), "decoder_time")


# -- what is ours ------------------------------------------------------------------------------------------------------


def after(bench: PreparingBench, phase: PreparationPhase, happens: Callable[[], object]) -> None:
    """Once the preparation has come so far, this happens."""
    heard = bench.phases

    class Hearing(list[PreparationPhase]):
        def append(self, reached: PreparationPhase) -> None:
            heard.append(reached)
            if reached is phase:
                happens()

    bench.phases = Hearing()


@pytest.mark.parametrize("phase", [PreparationPhase.FETCHING, PreparationPhase.STORING])
@pytest.mark.parametrize("faults", [StoreFaults(away=True), StoreFaults(hangs=True), StoreFaults(full=True)])
def test_a_store_that_stays_away_is_an_outage_and_no_refusal(
    bench: PreparingBench, phase: PreparationPhase, faults: StoreFaults
) -> None:
    if faults.full and phase is PreparationPhase.FETCHING:
        pytest.skip("a full store can be read")
    order = bench.order(VIDEO, timeout_ms=HOUR_S * 1000)
    after(bench, phase, lambda: setattr(bench.store.state, "faults", faults))
    is_outage(bench, order)
    assert any(cause == "store" for _, cause in bench.waits), "heartbeats say for what the worker waits"
    assert bench.waits[-1][1] == "", "and that it waits no more"
    assert bench.clock.now_s() < PATIENCE_S + 300


@pytest.mark.parametrize("phase", [PreparationPhase.FETCHING, PreparationPhase.STORING])
def test_a_store_that_comes_back_in_time_is_waited_for(bench: PreparingBench, phase: PreparationPhase) -> None:
    pauses: list[float] = []
    passing = bench.clock.pass_

    def pause(seconds: float) -> None:
        passing(seconds)
        pauses.append(seconds)
        if sum(pauses) > PATIENCE_S / 2:
            bench.store.mend()

    bench.clock.pass_ = pause  # type: ignore[method-assign]
    after(bench, phase, lambda: setattr(bench.store.state, "faults", StoreFaults(away=True)))
    assert isinstance(bench.report(bench.order(VIDEO)), PreparationDone)


def test_a_transfer_that_was_cut_once_is_no_verdict(bench: PreparingBench) -> None:
    order = bench.order(VIDEO)
    real, calls = bench.store.get_file, 0

    def get_file(key: str, path: Path, size: int) -> None:
        nonlocal calls
        calls += 1
        real(key, path, size)
        if calls == 1:
            path.write_bytes(b"a clop")

    bench.store.get_file = get_file  # type: ignore[method-assign]
    assert isinstance(bench.report(order), PreparationDone)


def test_a_version_that_the_store_does_not_show_is_an_outage(bench: PreparingBench) -> None:
    bench.blobs.faults = [missing_version()] * 9
    is_outage(bench, bench.order(VIDEO))


def test_a_topic_that_cannot_be_read_is_an_outage(bench: PreparingBench) -> None:
    order = bench.order(VIDEO, carried=False)
    bench.jobs = raising(ConnectionError())
    is_outage(bench, order)
    assert any(cause == "payloads" for _, cause in bench.waits)


def test_a_name_server_that_is_away_is_an_outage(bench: PreparingBench) -> None:
    bench.urls.script = [unreachable(EgressTrouble.RESOLVER)] * 9
    is_outage(bench, bench.order({"video": URL}))
    assert len(bench.urls.asked) == len(URL_RESTS_S) + 1


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken"), ZeroDivisionError()],
    ids=["full", "io", "bug"],
)
def test_a_disk_or_a_program_of_ours_that_fails_is_an_outage(bench: PreparingBench, error: Exception) -> None:
    bench.decoder.decodes = raising(error)
    is_outage(bench, bench.order(VIDEO))


def test_time_that_an_outage_of_ours_took_is_not_the_medias(bench: PreparingBench) -> None:
    order, passing = bench.order(VIDEO, timeout_ms=10_000), bench.clock.pass_
    bench.store.state.faults = StoreFaults(away=True)

    def pause(seconds: float) -> None:
        passing(seconds)
        if bench.clock.now_s() > 10:
            bench.store.mend()

    bench.clock.pass_ = pause  # type: ignore[method-assign]
    is_outage(bench, order)


def test_a_refusal_whose_sentence_cannot_be_stored_is_an_outage(bench: PreparingBench) -> None:
    def away(*_: object) -> None:
        bench.store.state.faults = StoreFaults(away=True)
        raise PreparationRefusal("damaged", "inputs.video: broken")

    bench.decoder.decodes = away
    is_outage(bench, bench.order(VIDEO))


# -- nobody wants it any more ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [phase for phase in PreparationPhase if phase is not PreparationPhase.WAITING])
def test_what_is_abandoned_in_any_phase_says_nothing_and_stores_nothing_more(
    bench: PreparingBench, phase: PreparationPhase
) -> None:
    """A job that was cancelled, expired or erased: its worker got a Kill."""
    order = bench.order(VIDEO)

    def abandon() -> None:
        assert bench.time is not None
        bench.time.abandon()

    after(bench, phase, abandon)
    bench.decoder.checks = lambda _: bench.time.look() if bench.time else None
    bench.decoder.decodes = lambda _, time: time.look()
    assert bench.report(order) is None
    assert bench.stored(order) == {}


def test_what_is_abandoned_while_it_is_refused_says_nothing(bench: PreparingBench) -> None:
    def refuse(*_: object) -> None:
        assert bench.time is not None
        bench.time.abandon()
        raise PreparationRefusal("damaged", WORDS)

    bench.decoder.decodes = refuse
    order = bench.order(VIDEO)
    assert bench.report(order) is None
    with pytest.raises(KeyError):
        bench.sentence(order)


def test_the_store_is_asked_for_nothing_of_another_tenant(bench: PreparingBench) -> None:
    bench.upload(tenant="zeta")
    refused(bench, bench.order(VIDEO, tenant="beta"), "source_missing")
    assert all("uploads/acme" not in key for _, key in bench.store.requests)

"""A process signs by its own key, and one that has somebody else's does not begin."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from contract.inputs import CancelRequested
from contract.signing import SIGNATURE_HEADER, InstallationKey, RecordSigner, Verifier
from runtime import jobs_writer
from runtime.jobs_writer import WrongSigner, process_signer, signer_of
from runtime.settings import Settings

KEY = InstallationKey(b"k" * 32)
SAID = CancelRequested("main-1", "acme")


def settings_of(signer: str) -> Settings:
    return Settings(signer=signer, signing_key=KEY.of(signer).text)


def signed_by(signer: RecordSigner) -> str:
    record = signer.record(SAID, partition=3, key=b"k", event_id="1", source="/x")
    if SIGNATURE_HEADER not in dict(record.headers):
        return ""
    return Verifier([KEY]).signer_of(3, record.headers, record.key, record.value)


def test_it_signs_as_the_settings_say() -> None:
    assert signed_by(signer_of(settings_of("api"), "api")) == "api"
    assert signed_by(signer_of(settings_of("operator.ada"), "operator")) == "operator.ada"
    assert signed_by(signer_of(Settings(), "api")) == ""


@pytest.mark.parametrize(
    ("found", "expected"),
    [("api", "intake"), ("node.east/n1", "node.east/n2"), ("operator.ada", "api"), ("api", "operator")],
)
def test_somebody_elses_key_is_refused_with_what_to_do(found: str, expected: str) -> None:
    with pytest.raises(WrongSigner, match=f"expected {expected}, found {found}.*`headrace keys derive {expected}`"):
        signer_of(settings_of(found), expected)
    with pytest.raises(WrongSigner, match=f"expected {expected}, found {found}"):
        process_signer(settings_of(found), expected)


def test_a_process_without_a_key_says_so_once() -> None:
    with capture_logs() as said:
        assert signed_by(process_signer(Settings(), "relay")) == ""
        assert signed_by(process_signer(settings_of("relay"), "relay")) == "relay"
    assert [line["expected"] for line in said] == ["relay"]


def test_a_record_goes_where_it_was_signed_for() -> None:
    taken: list[Any] = []

    class Sink:
        def offer(self, topic: str, value: bytes | None, **given: Any) -> None:
            taken.append((topic, value, given["key"], given["headers"], given["partition"]))

    record = signer_of(settings_of("api"), "api").record(SAID, partition=3, key=b"k", event_id="1", source="/x")
    jobs_writer.offer(Sink(), record, lambda _: None)
    assert taken == [("jobs", record.value, b"k", record.headers, 3)]

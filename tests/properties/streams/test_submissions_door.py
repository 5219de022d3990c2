"""The public door for Kafka producers takes any record or refuses it with a sentence. What is taken goes through every
part behind the door."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract import bounds
from contract.codec import body_of, decode_batch, decode_input, encode, headers_for
from contract.events import JobAccepted, JobDuplicated, JobRefused
from contract.inputs import AliasMoved, JobSubmitted, Requirements, VersionPublished
from contract.names import TRACEPARENT, payload_digest
from runtime.kafka import Record
from streams.door.admission import Admitted, NotYet, Refused
from tests.properties.streams.registry_in_memory import VERSION, an_admission
from tests.unit.scheduling.specification import START_MS, Pool

EXAMPLES = int(os.environ.get("EXAMPLES", "400"))
WORDS = "a violet walrus"
"""A word that stands in most records. No reason for a refusal may repeat it."""

# -- a record as good ones are, in parts that can be broken ------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    fields: dict[str, bytes]
    """The fields of the submission, by name, as JSON."""
    key: bytes | None = b"acme"
    headers: tuple[tuple[str, bytes | None], ...] = (("ce_source", b"test"), ("ce_id", b"1"))
    before: bytes = b""
    after: bytes = b""

    @property
    def value(self) -> bytes:
        fields = b",".join(msgspec.json.encode(name) + b":" + text for name, text in self.fields.items())
        return self.before + b"{" + fields + b"}" + self.after


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
numbers = st.one_of(
    st.integers(bounds.VALUE_LEAST, bounds.VALUE_MOST), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
json_values = st.recursive(
    st.one_of(st.none(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def good_parts(draw: Any) -> Parts:
    inputs = draw(st.dictionaries(texts.filter(lambda name: name != "prompt"), json_values, max_size=4))
    inputs["prompt"] = draw(texts) + WORDS
    tenant = draw(st.sampled_from(["acme", "a", "b.c_d-e", "x" * 63]))
    fields = {
        "type": "SubmissionRequested.v1",
        "tenant": tenant,
        "tier": draw(st.sampled_from(["free", "api", "nobody-has-this-tier"])),
        "model": draw(st.sampled_from(["echo", "echo@live", f"echo@{VERSION}"])),
        "inputs": inputs,
    }
    if draw(st.booleans()):
        fields["expires_ms"] = draw(st.sampled_from([0, 1, START_MS + 60_000, bounds.TIME_MS_MAX]))
    names = draw(st.permutations(list(fields)))
    headers = [("ce_source", draw(texts.filter(bool)).encode()), ("ce_id", draw(texts.filter(bool)).encode())]
    headers += draw(st.lists(st.tuples(texts, st.binary(max_size=9)), max_size=2))
    if draw(st.booleans()):
        headers.append(("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"))
    return Parts({name: msgspec.json.encode(fields[name]) for name in names}, tenant.encode(), tuple(headers))


# -- what senders do to it ---------------------------------------------------------------------------------------------

POISONS = (
    b"1e999",
    b"-1e999",
    b"9" * 5_000,
    b"-" + b"9" * 400,
    b"18446744073709551616",
    b"9223372036854775808",
    b"9007199254740993",
    b"1E+400",
    b"NaN",
    b"Infinity",
    b"-0",
    b"01",
    b'"\xc3\x28"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"\\ud800"',
    b'"\\udc00 \\ud800"',
    b'"\\ud83d\\ude00"',
    b'"\\u0000"',
    b'"\0"',
    b'{"\\u0000":1}',
    b'{"\\ud800":1}',
    b"[" * 63 + b"1" + b"]" * 63,
    b"[" * 65 + b"1" + b"]" * 65,
    b"[" * 3_000 + b"]" * 3_000,
    b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
    b'{"a":1,"a":1e999}',
    b"",
    b"null",
    b"tru",
    b'"' + b"x" * 300_000 + b'"',
)
"""JSON, or nearly JSON, in which most readers of JSON find a fault or break."""
ODD_NAMES = (
    '""',
    '"A"',
    '"a b"',
    '"a\\nb"',
    '"a\\u0000"',
    '"../a"',
    '"\\u00e9"',
    '"%s"' % ("x" * 64),
    "1",
    "null",
    "[]",
)
ODD_BYTES = (None, b"", b"\0", b"\xff", b"1", b"x" * 201, b"x" * 70_000, "\u00e9".encode(), b"00-" + b"0" * 52)


@st.composite
def broken_parts(draw: Any) -> Parts:
    parts: Parts = draw(good_parts())
    what = draw(st.sampled_from(["nested", "inputs", "field", "key", "header", "around"]))
    if what == "nested":
        return replace(
            parts, fields=parts.fields | {"inputs": b'{"prompt":"","x":[' + draw(st.sampled_from(POISONS)) + b"]}"}
        )
    if what == "inputs":
        return replace(parts, fields=parts.fields | {"inputs": draw(st.sampled_from(POISONS))})
    if what == "field":
        name = draw(st.sampled_from(["type", "tenant", "tier", "model", "expires_ms", "unknown"]))
        odd = st.one_of(st.sampled_from(POISONS), st.sampled_from(ODD_NAMES).map(str.encode), st.just(None))
        changed = draw(odd)
        fields = {k: v for k, v in parts.fields.items() if k != name}
        return replace(parts, fields=fields if changed is None else fields | {name: changed})
    if what == "key":
        return replace(parts, key=draw(st.one_of(st.sampled_from(ODD_BYTES), st.binary(max_size=5))))
    if what == "header":
        name = draw(st.sampled_from(["ce_source", "ce_id", "traceparent", "content-type", "\\xff", ""]))
        header = (name, draw(st.sampled_from(ODD_BYTES)))
        kept = tuple(h for h in parts.headers if h[0] != name or draw(st.booleans()))
        crowded = (*kept, header) * 50
        return replace(parts, headers=draw(st.sampled_from([kept, (*kept, header), (header, *kept), crowded])))
    noise = st.one_of(st.just(b""), st.binary(min_size=1, max_size=3), st.just(b" "))
    return replace(parts, before=draw(noise), after=draw(noise))


@st.composite
def records(draw: Any) -> Record:
    kind = draw(st.sampled_from(["good", "good", "good", "broken", "broken", "cut", "noise"]))
    parts: Parts = draw(broken_parts() if kind == "broken" else good_parts())
    value: bytes | None = parts.value
    if kind == "cut":
        at = draw(st.integers(0, len(parts.value)))
        value = parts.value[:at] + draw(st.binary(max_size=2)) + parts.value[at + draw(st.integers(0, 3)) :]
    elif kind == "noise":
        value = draw(st.one_of(st.none(), st.binary(max_size=40)))
    headers: Any = list(parts.headers)
    return Record("submissions", 0, draw(st.integers(0, 2**40)), START_MS, parts.key, value, headers)


def told(*headers: tuple[str, bytes | None], inputs: bytes = b"{}", more: bytes = b"") -> Record:
    """One of the records that once ended intake."""
    head = b'{"type":"SubmissionRequested.v1","tenant":"acme","tier":"free","model":"echo","inputs":'
    identity: Any = [("ce_source", b"s"), ("ce_id", b"1"), *headers]
    return Record("submissions", 0, 7, START_MS, b"acme", head + inputs + more + b"}", identity)


# -- the properties ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pool() -> Pool:
    """A scheduler that knows the model."""
    pool = Pool(check=False)
    pool.tell(
        VersionPublished("echo", VERSION, Requirements(("cpu",), 0), 1_000), AliasMoved("echo", "live", VERSION, 1)
    )
    return pool


def test_a_record_is_taken_or_refused_with_a_sentence_and_what_is_taken_goes_through_all_parts_behind(
    monkeypatch: pytest.MonkeyPatch, pool: Pool
) -> None:
    admission, outcomes = an_admission(monkeypatch), Counter[str]()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True)
    @given(records())
    @example(told(("traceparent", None)))
    @example(told(("ce_id", None)))
    @example(told(inputs=b'{"n":1e999}'))
    @example(told(inputs=b'{"n":%s}' % (b"9" * 5_000)))
    @example(told(inputs=b'{"p":"\xff"}'))
    @example(told(more=b',"expires_ms":9223372036854775808'))
    @example(told(more=b',"expires_ms":1000000000000000'))
    def each(record: Record) -> None:
        try:
            admitted = admission.admit(record, patient=True)
        except Refused as refused:
            reason = str(refused)
            assert 10 < len(reason) <= bounds.TEXT_MAX
            assert "expected" in reason or "model: " in reason or "inputs: " in reason
            assert WORDS not in reason
            assert "no check foresaw" not in reason
            outcomes["refused"] += 1
        else:
            goes_through(admitted, record, pool)
            outcomes["taken"] += 1

    each()
    assert outcomes["taken"] * 3 >= outcomes.total()
    assert outcomes["refused"] * 5 >= outcomes.total()


def goes_through(admitted: Admitted, record: Record, pool: Pool) -> None:
    """Everything behind the door: the scheduler's door, its judgement, the ledger's encoding, the bounds of what reads
    the ledger."""
    assert admitted.traceparent == "" or TRACEPARENT.fullmatch(admitted.traceparent)
    for name, text in headers_for(admitted.record, "0-1", "headrace/intake", admitted.traceparent):
        assert name.isascii()
        assert text.isascii()
    written = encode(admitted.record)
    assert len(written) < len(record.value or b"") + 2_000
    read = decode_input(written)
    assert isinstance(read, JobSubmitted)
    assert payload_digest(read.salt, bytes(read.inputs)) == read.submission.digest
    events = pool.tell(body_of(read))
    assert isinstance(events[0], JobAccepted | JobDuplicated | JobRefused)
    batch = decode_batch(pool.records[-1])
    said = msgspec.to_builtins(batch)
    assert bounds.fault_of(said, -bounds.NUMBER_MAX, bounds.NUMBER_MAX, bounds.DEPTH_MAX, bounds.TEXT_MAX) == ""


def test_only_what_would_be_taken_waits_for_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    admission, outcomes = an_admission(monkeypatch), Counter[str]()

    @settings(max_examples=EXAMPLES // 4, deadline=None, database=None, derandomize=True)
    @given(records())
    def each(record: Record) -> None:
        value = (record.value or b"").replace(b'"echo', b'"new')
        try:
            admission.admit(record._replace(value=value), patient=True)
        except NotYet:
            assert isinstance(admission.admit(record._replace(value=value), patient=False), Admitted)
            outcomes["waits"] += 1
        except Refused:
            outcomes["refused"] += 1

    each()
    unfit = told(inputs=b"[]")
    with pytest.raises(Refused, match="inputs: "):
        admission.admit(unfit._replace(value=(unfit.value or b"").replace(b'"echo', b'"new')), patient=True)
    assert outcomes["waits"] * 3 >= outcomes.total(), outcomes

"""Mutants: media that a submission names: which fields take media, and what both doors refuse."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_SCHEMA = "tests/unit/registry/test_schema_media.py"
_REFUSED = f"{_SCHEMA}::test_media_words_that_nobody_could_keep_are_refused"
_DOORS = "tests/unit/streams/test_media_at_both_doors.py"
_TEXTS = f"{_DOORS}::test_what_cannot_be_prepared_is_refused_in_a_sentence_without_the_senders_words"
_LET_IN = f"{_DOORS}::test_what_is_let_in_says_how_many_media_it_names_and_where_outputs_lie"
_AGAIN = f"{_DOORS}::test_what_was_let_in_once_is_let_in_again_whatever_became_of_its_media"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "publishing does not look at media words",
        "registry/model_yaml.py",
        "                media_fields(schema)\n",
        "                pass\n",
        f"{_SCHEMA}::test_publishing_says_the_line",
    ),
    Mutant(
        "a rule that nobody can keep is published",
        "registry/schemas/media.py",
        "    if fault:\n",
        "    if False:\n",
        _REFUSED,
    ),
    Mutant(
        "a field of any type takes media",
        "registry/schemas/media.py",
        '    if whole.get("type") != wanted or part.schema.get("type") != "string":\n',
        "    if False:\n",
        _REFUSED,
    ),
    Mutant(
        "limits without a format are taken for a remark",
        "registry/schemas/media.py",
        "        elif RULE_WORD in part.schema:\n",
        "        elif False:\n",
        _REFUSED,
    ),
    Mutant(
        "a property named items is a list",
        "registry/schemas/media.py",
        "is_list=len(part.path) > 2",
        'is_list=part.path[-1] == "items"',
        f"{_SCHEMA}::test_fields_come_with_their_rules_in_the_order_of_the_schema",
    ),
    Mutant(
        "rules of all fields together may ask for any number of bytes",
        "registry/schemas/media.py",
        "    if together > PREPARED_BYTES_MAX:\n",
        "    if False:\n",
        _REFUSED,
    ),
    Mutant(
        "any number of fields takes media",
        "registry/schemas/media.py",
        "    if len(fields) > MEDIA_MAX:\n",
        "    if False:\n",
        _REFUSED,
    ),
    Mutant(
        "schedulers are not told that a version prepares",
        "registry/relay.py",
        ", prepares=_prepares(manifest)\n",
        "\n",
        f"{_SCHEMA}::test_the_scheduler_is_told_by_which_rules_a_version_prepares",
    ),
    Mutant(
        "a submission names any number of media",
        "registry/media_names.py",
        "    if len(texts) > MEDIA_MAX:\n",
        "    if False:\n",
        f"{_DOORS}::test_no_more_than_a_few_are_named",
    ),
    Mutant(
        "a URL is not judged at the door",
        "registry/media_names.py",
        "            check_named_url(name.url, policy)\n",
        "            pass\n",
        _TEXTS,
    ),
    Mutant(
        "an address in a URL is not judged at the door",
        "runtime/egress/named.py",
        "    if url.address is None:\n",
        "    if True:\n",
        _TEXTS,
    ),
    Mutant(
        "a port in a URL is not judged at the door",
        "runtime/egress/policy.py",
        "        return (port in self.ports and (scheme == HTTPS or self.allows_http)) or any(\n",
        "        return True or any(\n",
        _TEXTS,
    ),
    Mutant(
        "an upload that is not ready may be named",
        "registry/media_names.py",
        "        if upload not in ready:\n",
        "        if upload not in ready and upload not in uploads.states(connection, tenant, [upload]):\n",
        f"{_DOORS}::test_an_upload_that_is_not_ready_is_refused",
    ),
    Mutant(
        "a job that has not succeeded may be named",
        "registry/media_names.py",
        "            if job.erasure or job.state != JobState.SUCCEEDED:\n",
        "            if job.erasure:\n",
        _TEXTS,
    ),
    Mutant(
        "a job whose words were erased may be named",
        "registry/media_names.py",
        "            if job.erasure or job.state != JobState.SUCCEEDED:\n",
        "            if job.state != JobState.SUCCEEDED:\n",
        _TEXTS,
    ),
    Mutant(
        "an output that a job did not make may be named",
        "registry/media_names.py",
        "        if file is None:\n            raise MediaNameRefused(MediaFault.OUTPUT, each.path)\n",
        "        if file is None:\n            continue\n",
        _TEXTS,
    ),
    Mutant(
        "a result that the ledger did not accept is believed",
        "registry/media_names.py",
        '    if "sha256:" + hashlib.sha256(raw).hexdigest() != source.result_manifest or manifest.job != job:\n',
        "    if manifest.job != job:\n",
        _TEXTS,
    ),
    Mutant(
        "an output larger than the field takes is let in",
        "registry/media_names.py",
        "        _require_size(each, file.bytes)\n",
        "",
        _TEXTS,
    ),
    Mutant(
        "an upload larger than the field takes is let in",
        "registry/media_names.py",
        "        _require_size(each, ready[upload])\n",
        "",
        f"{_DOORS}::test_an_upload_larger_than_the_field_takes_is_refused",
    ),
    Mutant(
        "the API does not say how many media a submission names",
        "api/submissions.py",
        "        media=len(checked.media),\n",
        "",
        f"{_LET_IN}[http]",
    ),
    Mutant(
        "intake does not say how many media a submission names",
        "streams/door/admission.py",
        "            media=len(named),\n",
        "",
        f"{_LET_IN}[kafka]",
    ),
    Mutant(
        "the API does not say where named outputs lie",
        "api/submissions.py",
        "msgspec.Raw(checked.inputs), salt, outputs)",
        "msgspec.Raw(checked.inputs), salt)",
        f"{_LET_IN}[http]",
    ),
    Mutant(
        "intake does not say where named outputs lie",
        "streams/door/admission.py",
        "JobSubmitted(submission, request.inputs, salt, outputs)",
        "JobSubmitted(submission, request.inputs, salt)",
        f"{_LET_IN}[kafka]",
    ),
    Mutant(
        "the API looks again at media of a job that is there",
        "api/submissions.py",
        "    outputs = None if is_known else await",
        "    outputs = await",
        f"{_AGAIN}[http]",
    ),
    Mutant(
        "intake looks again at media of a job that is there",
        "streams/door/admission.py",
        "if named and not self._is_known(job) else ()",
        "if named else ()",
        f"{_AGAIN}[kafka]",
    ),
    Mutant(
        "intake refuses what names media while the store is away",
        "streams/door/admission.py",
        "        except StoreFault as fault:\n            raise RegistryAway(type(fault).__name__) from None\n",
        "        except StoreFault as fault:\n            raise Refused(type(fault).__name__) from None\n",
        f"{_DOORS}::test_while_the_store_is_away_nobody_is_refused[kafka]",
    ),
    Mutant(
        "an upload that is named may expire before its job begins",
        "registry/media_names.py",
        "    ready = uploads.name(connection, tenant, [upload for _, upload in asked], kept_s)\n",
        "    ready = uploads.name(connection, tenant, [upload for _, upload in asked], 0)\n",
        f"{_DOORS}::test_an_upload_that_is_named_is_kept_on",
    ),
)

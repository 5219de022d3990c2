"""Mutants of the rule that the object store may lose and never lie: seals, sizes, rights."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_LYING = "tests/unit/streams/test_lying_bucket.py"
_ALTERED = f"{_LYING}::TestTwin::test_an_altered_copy_with_a_later_name_is_passed_over_and_counted"
_IN_FORCE = f"{_LYING}::TestTwin::test_a_snapshot_is_believed_as_long_as_its_key_is_in_force"
_PLACE = f"{_LYING}::TestTwin::test_a_place_that_intake_did_not_write_skips_nothing"
_ENDLESS = "tests/process/runtime/test_endless_store.py"
_RIGHTS = "tests/unit/runtime/test_store_rights.py"
_DENIED = "tests/process/runtime/test_denied_reads.py"
_USES = "tests/unit/runtime/test_store_uses.py"
_PAST = "tests/unit/audit/test_past_snapshots.py"
_COMPOSED, _EMBEDDED = "tests/unit/local/test_composition.py", "tests/unit/local/test_s3_server.py"
_READERS = "tests/unit/runtime/test_bounded_reads.py::test_whoever_reads_passes_over_or_refuses_what_has_no_end"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a snapshot's seal is not compared",
        "contract/seals.py",
        '        return "" if hmac.compare_digest(_tag(secret, stem), name.tag) else WRONG',
        '        return ""',
        _ALTERED,
    ),
    Mutant(
        "a snapshot without a seal is believed",
        "contract/seals.py",
        "            return UNSEALED",
        '            return ""',
        _ALTERED,
    ),
    Mutant(
        "a snapshot of another pool is believed",
        "contract/seals.py",
        'hmac.digest(secret, stem.encode(), "sha256")',
        'hmac.digest(secret, stem.rpartition("/")[2].encode(), "sha256")',
        _ALTERED,
    ),
    Mutant(
        "without keys the bucket is believed",
        "contract/seals.py",
        "            return NO_KEYS",
        '            return ""',
        _IN_FORCE,
    ),
    Mutant(
        "only the newest installation key seals",
        "contract/seals.py",
        'b"", 32) for key in keys}',
        'b"", 32) for key in keys[:1]}',
        _IN_FORCE,
    ),
    Mutant(
        "names of somebody else displace our snapshots",
        "streams/ledger/snapshots.py",
        "    ours = [name for name in names if not seals.are_made or not seals.refusal_of(name)]",
        "    ours = list(names)",
        f"{_LYING}::TestTwin::test_names_that_are_not_believed_displace_no_snapshot",
    ),
    Mutant(
        "what is passed over is not counted",
        "streams/ledger/snapshots.py",
        "        SNAPSHOTS_PASSED_OVER.labels(self._pool, self._where).inc()\n",
        "",
        _ALTERED,
    ),
    Mutant(
        "a place that somebody else wrote is believed",
        "streams/door/intake_positions.py",
        "        if not self._seals.fits(partition, msgspec.json.encode(place), stored.seal):",
        "        if False:",
        _PLACE,
    ),
    Mutant(
        "a place of another partition is believed",
        "contract/seals.py",
        'b"%d " % partition + place',
        "place",
        _PLACE,
    ),
    Mutant(
        "intake has no key for its place",
        "streams/intake.py",
        "IntakePositions(store, settings.brokers, key)",
        "IntakePositions(store, settings.brokers)",
        f"{_LYING}::test_the_intake_of_an_installation_with_keys_seals_its_place",
    ),
    Mutant(
        "an object has no end",
        "runtime/object_store.py",
        '                    raise OtherSize(key, f"at most {bytes_max} bytes", "more")',
        "                    return",
        f"{_ENDLESS}::test_an_object_without_end_is_refused_in_a_sentence",
    ),
    Mutant(
        "a file may be shorter than it was",
        "runtime/object_store.py",
        "        if at != end:",
        "        if False:",
        f"{_ENDLESS}::test_a_file_that_is_shorter_than_it_was_is_refused",
    ),
    Mutant(
        "a part that breaks off fails the file",
        "runtime/object_store.py",
        "PART_TRIES = 5",
        "PART_TRIES = 1",
        f"{_ENDLESS}::test_a_part_that_breaks_off_is_asked_for_again",
    ),
    Mutant(
        "a fault in one part lets all others go on",
        "runtime/object_store.py",
        "threads.shutdown(wait=False, cancel_futures=True)",
        "pass",
        f"{_ENDLESS}::test_after_a_fault_no_other_part_is_begun",
    ),
    Mutant(
        "a listing has no end",
        "runtime/object_store.py",
        "                if len(keys) > LISTED_MAX:",
        "                if len(keys) > 2 * LISTED_MAX:",
        f"{_ENDLESS}::test_a_listing_without_end_is_refused",
    ),
    Mutant(
        "a version's file of any size is fetched",
        "registry/blobs.py",
        '            raise _corrupt(sha256, f"more or fewer than {file.bytes} bytes") from None\n',
        "            raise\n",
        _READERS,
    ),
    Mutant(
        "a snapshot without end stops an opening",
        "runtime/snapshots.py",
        "        except OtherSize:\n"
        '            on_unusable(name, "it is damaged: it has more bytes than a snapshot of its name")\n'
        "            continue\n",
        "",
        _READERS,
    ),
    Mutant(
        "a node deletes results",
        "runtime/store_rights.py",
        '"inputs/": SEE, "results/": WRITE}',
        '"inputs/": SEE, "results/": WRITE | {Right.DELETE}}',
        f"{_RIGHTS}::test_a_node_reads_versions_and_writes_results_and_no_more",
    ),
    Mutant(
        "every login lists the whole bucket",
        "runtime/store_rights.py",
        "if len(listed) < len(PREFIXES) else {}",
        "if False else {}",
        f"{_RIGHTS}::test_a_login_with_its_policy_does_what_the_table_says",
    ),
    Mutant(
        "a policy is for every bucket",
        "runtime/store_rights.py",
        'f"{arn}/{prefix}*" for prefix in PREFIXES',
        'f"{arn}*" for prefix in PREFIXES',
        f"{_RIGHTS}::test_a_login_with_its_policy_does_what_the_table_says",
    ),
    Mutant(
        "what cannot be deleted again is taken for refused",
        "runtime/store_rights.py",
        "                with suppress(StoreRefuses):\n                    store.delete([key])\n",
        "                store.delete([key])\n",
        f"{_RIGHTS}::test_another_roles_login_is_found_out",
    ),
    Mutant(
        "where objects may not be listed all, one that is not there is an outage",
        "runtime/object_store.py",
        "            if code_of(error) in DENIED_CODES and self._is_absent(key):",
        "            if False:",
        f"{_DENIED}::test_what_a_listing_does_not_show_is_missing_and_what_it_shows_is_refused",
    ),
    Mutant(
        "what may not be read is taken for missing",
        "runtime/object_store.py",
        "        except ClientError:\n            return False\n        return key not in",
        "        except ClientError:\n            return True\n        return key not in",
        f"{_DENIED}::test_what_a_listing_does_not_show_is_missing_and_what_it_shows_is_refused",
    ),
    Mutant(
        "doctor tries no role's login",
        "cli/doctor.py",
        "if access and secret else None",
        "if False else None",
        "tests/unit/cli/test_store.py::test_doctor_tries_the_logins_that_the_environment_has",
    ),
    Mutant(
        "who has the key believes a snapshot without a seal about the past",
        "audit/ledger/snapshots.py",
        "        self.passed_over = [name for name in names if self._seals.refusal_of(name)]",
        "        self.passed_over = []",
        f"{_PAST}::test_who_has_the_key_begins_at_a_schedulers_snapshot",
    ),
    Mutant(
        "who has no key begins at anybody's snapshot",
        "audit/ledger/snapshots.py",
        "names_of(self.store, pool) if self._unproved else []",
        "names_of(self.store, pool)",
        f"{_PAST}::test_who_has_no_key_begins_at_the_first_record",
    ),
    Mutant(
        "a wait from anybody's snapshot is told as if it were proved",
        "audit/waits/why.py",
        "return found if found is None or past.proved else",
        "return found if True else",
        f"{_PAST}::test_a_wait_that_was_read_from_anybodys_snapshot_says_so",
    ),
    Mutant(
        "anybody's name of a snapshot cuts the ledger's tail",
        "audit/ledger/past.py",
        "for name in self._names[-1:] if proved]",
        "for name in self._names[-1:]]",
        f"{_PAST}::test_a_name_of_anybody_cuts_no_tail",
    ),
    Mutant(
        "verify does not say that nobody checked a snapshot's seal",
        "audit/verify/anchors.py",
        '("" if snapshots.are_proved else UNPROVED)',
        '""',
        f"{_PAST}::test_who_verifies_without_the_key_is_told_that_nobody_checked",
    ),
    Mutant(
        "a process of the embedded stack has the owner's login at the store",
        "local/composition.py",
        "            **self._store_login(role),",
        "",
        f"{_COMPOSED}::test_each_process_has_the_login_of_its_role_at_the_stacks_store",
    ),
    Mutant(
        "a login of the embedded store reaches every name",
        "local/s3_server.py",
        "        if login != OWNER:",
        "        if not login:",
        f"{_EMBEDDED}::test_only_the_owners_login_reaches_everything",
    ),
    Mutant(
        "a name with dots goes around a login's prefixes",
        "local/s3_server.py",
        r".*\z|\A(?:.*/)?\.{{0,2}}(?:/.*)?\z",
        r".*\z",
        f"{_EMBEDDED}::test_a_name_is_reached_when_its_prefix_is_the_roles_and_no_part_of_it_is_folded",
    ),
    Mutant(
        "doctor takes a login that reaches another prefix for well",
        "cli/doctor.py",
        "    beyond = [said for said in beyond if not said.startswith(own)]",
        "    beyond = []",
        "tests/unit/cli/test_store.py::test_doctor_says_what_the_embedded_store_keeps_of_a_role",
    ),
    Mutant(
        "a role has a right that its code does not use",
        "runtime/store_rights.py",
        '"results/": WRITE},',
        '"results/": WRITE | {Right.LIST}},',
        f"{_USES}::test_a_role_may_do_what_its_code_asks_and_nothing_else",
    ),
    Mutant(
        "a place that asks the store is in no table",
        "streams/door/skips.py",
        "        self._store.delete_prefix(_key(partition, offset))",
        "        self._store.delete([_key(partition, offset)])",
        f"{_USES}::test_the_table_has_every_place_that_asks_the_store",
    ),
)

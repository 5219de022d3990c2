"""Mutants: what comes in through `submissions` and `jobs`, and who signed it."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "the place moves past what is under way",
        "streams/door/intake_partition.py",
        ("        if self._under_way.offset is not None:\n            return self._under_way.offset\n"),
        "",
        "tests/unit/streams/test_intake_partition.py::test_the_place_stays_before_what_is_under_way_whatever_lies_behind_it",
    ),
    Mutant(
        "an outage of the registry refuses a submission",
        "streams/door/admission.py",
        ("            if kind:\n                raise RegistryAway(kind) from None\n"),
        "",
        "tests/unit/streams/test_admission.py::test_an_outage_of_the_registry_is_never_a_refusal[OperationalError-wrapped]",
    ),
    Mutant(
        "a full disk of ours refuses a submission",
        "streams/door/admission.py",
        "type(error).__name__ if isinstance(error, OSError | MemoryError) else outage(error)",
        "outage(error)",
        "tests/unit/streams/test_admission.py::test_nor_is_one_of_our_machine[error0]",
    ),
    Mutant(
        "a fault of a submission waits for the registry",
        "streams/door/admission.py",
        "type(error).__name__ if isinstance(error, OSError | MemoryError) else outage(error)",
        "type(error).__name__",
        "tests/unit/streams/test_admission.py::test_a_fault_of_the_data_never_waits_for_the_registry[NumericValueOutOfRange]",
    ),
    Mutant(
        "a submission is checked against no schema",
        "streams/door/admission.py",
        "        self._check_inputs(version, inputs)\n",
        "",
        "tests/unit/streams/test_admission_inputs.py::test_inputs_that_cannot_be_run_are_refused",
    ),
    Mutant(
        "a version that is not relayed is refused at once",
        "streams/door/admission.py",
        ("        if (not version.relayed or partition is None) and patient:\n            raise NotYet\n"),
        "",
        "tests/unit/streams/test_admission.py::test_the_registry_is_asked_once_for_many_records_and_again_for_a_version_that_is_too_new",
    ),
    Mutant(
        "the log of an unforeseen submission quotes it",
        "streams/door/admission.py",
        ("        found=without_words(error),\n    )\n    return Refused"),
        ("        found=str(error),\n    )\n    return Refused"),
        "tests/unit/streams/test_admission.py::test_what_no_check_foresaw_is_refused_by_its_class_and_place_without_its_words",
    ),
    Mutant(
        "intake takes whatever comes",
        "streams/door/under_way.py",
        "return len(self._records) >= RECORDS_MAX or self._bytes >= BYTES_MAX",
        "return False",
        "tests/unit/streams/test_intake_partition.py::test_what_there_is_no_room_for_is_asked_for_again",
    ),
    Mutant(
        "intake is bounded in number only",
        "streams/door/under_way.py",
        "return len(self._records) >= RECORDS_MAX or self._bytes >= BYTES_MAX",
        "return len(self._records) >= RECORDS_MAX",
        "tests/unit/streams/test_intake_partition.py::test_what_there_is_no_room_for_is_asked_for_again[BYTES_MAX]",
    ),
    Mutant(
        "what intake had no room for is not asked for again",
        "streams/door/intake_partition.py",
        ("            self._resume()\n            await follower.go_on()"),
        "            self._resume()",
        "tests/unit/streams/test_intake_partition.py::test_what_there_is_no_room_for_is_asked_for_again",
    ),
    Mutant(
        "a store that is away ends intake",
        "streams/door/intake_partition.py",
        "            except Exception as error:  # no record is passed over because a server is away\n",
        "            except ZeroDivisionError as error:\n",
        "tests/unit/streams/test_intake_partition.py::test_a_store_that_is_away_at_the_start_is_waited_for",
    ),
    Mutant(
        "a record that `jobs` refuses for its size is sent for ever",
        "streams/door/intake_partition.py",
        ("        except DeliveryRefused:\n            size"),
        ("        except ZeroDivisionError:\n            size"),
        "tests/unit/streams/test_intake_partition.py::test_what_jobs_refuses_for_its_size_is_quarantined_and_never_sent_again",
    ),
    Mutant(
        "a submission that was not acknowledged is passed over",
        "streams/door/intake_partition.py",
        ("        except DeliveryUnclear:\n            return record, outcome"),
        ("        except DeliveryUnclear:\n            return None"),
        "tests/unit/streams/test_intake_partition.py::test_a_broker_that_is_away_is_waited_for",
    ),
    Mutant(
        "submissions that expired are lost in silence",
        "streams/door/intake_partition.py",
        "        self._tell_loss(self._lost.after_loss(first, next_offset))",
        "        pass",
        "tests/unit/streams/test_intake_partition.py::test_what_expired_before_it_was_read_is_counted_said_and_stored[True]",
    ),
    Mutant(
        "one partition that fails ends them all",
        "streams/door/intake_partition.py",
        "            except Exception as error:  # the other partitions go on meanwhile",
        "            except ZeroDivisionError as error:",
        "tests/unit/streams/test_intake_partition.py::test_a_failure_that_nobody_foresaw_begins_that_partition_anew_from_its_stored_place",
    ),
    Mutant(
        "a registry that does not answer is not said",
        "streams/door/intake_partition.py",
        '            self._held_up.by("the registry (no answer)", self.place)\n',
        "            pass\n",
        "tests/unit/streams/test_intake_partition.py::test_while_the_registry_does_not_answer_at_all_the_place_says_so",
    ),
    Mutant(
        "an operator's skip is not obeyed",
        "streams/door/intake_partition.py",
        (
            "        if record.offset in self._skips.ordered and not isinstance(outcome, Refused):\n"
            "            outcome = Refused(SKIPPED)\n"
        ),
        "",
        "tests/unit/streams/test_intake_partition.py::test_a_record_that_the_broker_does_not_take_can_be_skipped_too",
    ),
    Mutant(
        "intake does not look for skips before it looks at a record",
        "streams/door/intake_partition.py",
        '        await self._until_done(self._skips.look, "the object store")\n',
        "",
        "tests/unit/streams/test_intake_partition.py::test_one_that_starts_skips_before_it_looks_at_the_record_and_forgets_orders_for_what_is_done",
    ),
    Mutant(
        "a place of another topic is believed",
        "streams/door/intake_positions.py",
        "        if not 0 <= known.offset <= high:",
        "        if False:",
        "tests/unit/streams/test_intake_positions.py::test_it_begins_at_its_own_place_or_at_the_first_record_that_the_topic_keeps",
    ),
    Mutant(
        "a record that no check foresaw stops its pool",
        "streams/door/jobs_door.py",
        "    except Exception as unforeseen:  # one record is refused, and its pool goes on",
        "    except ZeroDivisionError as unforeseen:",
        "tests/unit/streams/test_pool_host.py::test_a_record_that_is_no_input_is_set_aside_once_and_the_pool_goes_on",
    ),
    Mutant(
        "a record of quarantine has no bound",
        "streams/door/quarantine.py",
        "room = max(0, bounds.REFUSAL_BYTES_MAX - taken) // 4 * 3",
        "room = 2**31",
        "tests/unit/streams/test_quarantine.py::test_the_record_fits_whatever_is_refused",
    ),
    Mutant(
        "a flood of refusals is a flood of lines",
        "streams/door/quarantine.py",
        "        if self._said >= _LINES_MAX:",
        "        if False:",
        "tests/unit/streams/test_quarantine.py::test_a_flood_is_not_a_flood_of_lines_and_each_line_says_where",
    ),
    Mutant(
        "a record without a signature is taken",
        "streams/door/signatures.py",
        "                self._tell(record)\n            raise\n",
        '                self._tell(record)\n            return ""\n',
        "tests/unit/streams/test_signatures.py::test_what_is_forged_is_set_aside_once_and_nothing_comes_of_it",
    ),
    Mutant(
        "a signer may say anything",
        "streams/door/signatures.py",
        '        self._refuse(signers.refusal_of(signer, body) if signer else "")',
        "        pass",
        "tests/unit/streams/test_signatures.py::test_what_is_forged_is_set_aside_once_and_nothing_comes_of_it",
    ),
    Mutant(
        "whoever signs may bury a record",
        "streams/door/signatures.py",
        '        self._refuse(signers.refusal_of_tombstone(signer) if signer else "")',
        "        pass",
        "tests/unit/streams/test_signatures.py::test_a_forged_tombstone_is_said_aloud_and_an_operators_is_not",
    ),
    Mutant(
        "what was written before the upgrade must be signed",
        "streams/door/signatures.py",
        "if self._verifier is None or record.offset < self._signed_from:",
        "if self._verifier is None:",
        "tests/unit/streams/test_signatures.py::test_what_was_written_before_the_upgrade_is_read_unsigned_and_what_comes_later_is_not",
    ),
    Mutant(
        "a node speaks of other nodes",
        "contract/signers.py",
        (
            "        case NodeHeartbeat() | NodeLeft() | NodeReport() if body.node != "
            'signer.partition("/")[2]:\n'
            "            return OF_ANOTHER_NODE\n"
        ),
        "",
        "tests/unit/contract/test_signers.py::test_a_node_speaks_of_itself",
    ),
    Mutant(
        "a submission comes through another's door",
        "contract/signers.py",
        ("        case Submission() if body.via != _DOORS[role]:\n            return OF_ANOTHER_DOOR\n"),
        "",
        "tests/unit/contract/test_signers.py::test_a_submission_comes_through_the_door_of_its_signer",
    ),
    Mutant(
        "the API cancels for no tenant",
        "contract/signers.py",
        (
            "        case CancelRequested() | EraseRequested() if role == API and not body.tenant:\n"
            "            return WITHOUT_TENANT\n"
        ),
        "",
        "tests/unit/contract/test_signers.py::test_the_api_names_the_tenant_who_asks",
    ),
    Mutant(
        "a process signs as somebody else",
        "runtime/jobs_writer.py",
        "    if expected not in (settings.signer, signers.role_of(settings.signer)):",
        "    if False:",
        "tests/unit/runtime/test_jobs_writer.py::test_somebody_elses_key_is_refused_with_what_to_do[api-intake]",
    ),
    Mutant(
        "clusters whose names make one topic are taken",
        "contract/policy_check.py",
        "    yield from _topic_faults(policy)\n",
        "",
        "tests/unit/contract/test_policy_document.py::test_two_clusters_whose_names_make_one_topic_are_refused",
    ),
)

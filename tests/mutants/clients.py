"""Mutants: Clients of Kafka and of the object store, proxies, and what is said of an outage."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a producer that met a fatal error is kept",
        "runtime/kafka_producer.py",
        "            if self._fatal:\n",
        "            if False:\n",
        "tests/unit/runtime/test_kafka_producer.py::test_after_a_fatal_error_another_client_goes_on",
    ),
    Mutant(
        "a client that may write nothing ends the thread that tells of deliveries",
        "runtime/kafka_producer.py",
        (
            "            except KafkaException as error:\n"
            "                self._on_error(error.args[0])\n"
            "                self._closing.wait(POLL_S)\n"
        ),
        "            finally:\n                pass\n",
        (
            "tests/unit/runtime/test_kafka_producer.py"
            "::test_a_client_that_may_write_nothing_goes_on_as_another_client_once_it_may"
        ),
    ),
    Mutant(
        "an offer waits for room",
        "runtime/kafka_producer.py",
        (
            "        if not self._try_send(topic, value, key, headers, partition, on_delivery):\n"
            "            raise DeliveryUnclear(_not_taken(topic))"
        ),
        ("        self.send(topic, value, key=key, headers=headers, partition=partition, on_delivery=on_delivery)"),
        "tests/unit/runtime/test_kafka_producer.py::test_who_cannot_wait_hears_at_once_that_there_is_no_room",
    ),
    Mutant(
        "a coroutine waits for room for ever",
        "runtime/kafka_producer.py",
        (
            "            if loop.time() > deadline:\n"
            '                raise DeliveryUnclear(f"{_not_taken(topic)}, for {self._timeout_s} s")\n'
        ),
        "",
        "tests/unit/runtime/test_kafka_producer.py::test_room_is_waited_for_no_longer_than_a_delivery",
    ),
    Mutant(
        "a refusal for its size is unclear",
        "runtime/kafka_producer.py",
        "kind = DeliveryRefused if error.code() in _TOO_LARGE else DeliveryUnclear",
        "kind = DeliveryUnclear",
        "tests/unit/twin/test_kafka_conformance.py::test_the_twin_does_what_a_broker_does[a_record_of_the_topics_size_is_taken_and_one_byte_more_is_refused]",
    ),
    Mutant(
        "a reader gives as many bytes as there are",
        "runtime/kafka_reader.py",
        "full = len(records) >= max_records or size >= max_bytes",
        "full = len(records) >= max_records",
        "tests/unit/runtime/test_kafka_bounds.py::test_a_reader_gives_no_record_more_once_it_has_so_many_bytes",
    ),
    Mutant(
        "librdkafka's queues have no bound",
        "runtime/kafka_reader.py",
        '            "queued.max.messages.kbytes": FETCHED_KBYTES_MAX,\n',
        "",
        "tests/unit/runtime/test_kafka_bounds.py::test_the_librarys_own_queues_are_bounded",
    ),
    Mutant(
        "a producer's queue has no bound",
        "runtime/kafka_producer.py",
        '            "queue.buffering.max.kbytes": WAITING_KBYTES_MAX,\n',
        "",
        "tests/unit/runtime/test_kafka_bounds.py::test_the_librarys_own_queues_are_bounded",
    ),
    Mutant(
        "a lookup that met a fatal error is kept",
        "runtime/kafka_lookup.py",
        ("                if self._failures >= FAILURES_MAX:\n                    self._renew()\n"),
        "",
        "tests/unit/runtime/test_kafka_lookup.py::test_a_client_that_never_reads_again_is_made_anew",
    ),
    Mutant(
        "what a lookup read ahead has no bound",
        "runtime/kafka_lookup.py",
        "        while self._kept_bytes > KEPT_BYTES_MAX:",
        "        while False:",
        "tests/unit/runtime/test_kafka_lookup.py::test_what_is_read_ahead_is_bounded_in_bytes",
    ),
    Mutant(
        "the end of `jobs` is that of what was committed",
        "runtime/kafka_reader.py",
        '{"isolation.level": "read_uncommitted"}',
        "{}",
        "tests/unit/streams/test_pool_io.py::test_ends_count_what_can_be_read_and_what_was_written",
    ),
    Mutant(
        "a store that cannot read an answer is a defect",
        "runtime/object_store_errors.py",
        "    except (BotoCoreError, ResponseParserError, HTTPException, RecursionError) as error:",
        "    except BotoCoreError as error:",
        "tests/unit/runtime/test_object_store_errors.py::test_what_another_try_may_mend_is_a_store_that_is_away",
    ),
    Mutant(
        "a missing bucket is a missing object",
        "runtime/object_store_errors.py",
        "    if key and code in MISSING_CODES:",
        "    if code in MISSING_CODES:",
        "tests/unit/runtime/test_object_store_errors.py::test_what_is_missing_is_missing_only_where_a_key_was_asked_for",
    ),
    Mutant(
        "a store that loses what it took does its work",
        "runtime/object_store_health.py",
        "    if found != WORD:",
        "    if False:",
        "tests/unit/runtime/test_object_store_health.py::test_what_the_store_does_not_do_is_said",
    ),
    Mutant(
        "a store without conditional writes will do",
        "runtime/object_store_health.py",
        "    if not first or second:",
        "    if False:",
        "tests/unit/runtime/test_object_store_health.py::test_an_installation_is_not_begun_on_a_store_without_conditional_writes",
    ),
    Mutant(
        "batch deletes that a store refuses are an error",
        "runtime/object_store.py",
        ("                if refused.status not in _NO_BATCHES:\n                    raise\n"),
        "                raise\n",
        "tests/integration/runtime/test_object_store.py::test_doctor_tries_what_a_store_can_do_and_names_the_setting",
    ),
    Mutant(
        "checksums are sent whatever the setting",
        "runtime/object_store.py",
        "request_checksum_calculation=settings.s3_checksums",
        'request_checksum_calculation="when_supported"',
        "tests/integration/runtime/test_object_store.py::test_doctor_tries_what_a_store_can_do_and_names_the_setting",
    ),
    Mutant(
        "every failure of an outage is a line",
        "runtime/outage_watch.py",
        "        if found != before:",
        "        if True:",
        "tests/unit/runtime/test_outage_watch.py::test_an_outage_is_said_once_at_its_beginning_once_at_its_end_and_when_its_reason_changes",
    ),
    Mutant(
        "a proxy is asked for this machine",
        "runtime/proxies.py",
        "    return None if is_loopback(host) or _is_excepted",
        "    return None if _is_excepted",
        "tests/unit/runtime/test_proxies.py::test_no_proxy_is_asked_for_this_machine",
    ),
    Mutant(
        "a proxy that nobody can use is used",
        "runtime/proxies.py",
        ("    if proxy.fault:\n        raise"),
        ("    if False:\n        raise"),
        "tests/unit/runtime/test_proxies.py::test_a_proxy_that_no_client_of_ours_can_use_is_said_by_its_variable",
    ),
    Mutant(
        "programs of others ask the proxy for this machine",
        "runtime/proxies.py",
        "    return {**environment, **dict.fromkeys(_WITHOUT, names)}",
        "    return dict(environment)",
        "tests/unit/runtime/test_proxies.py::test_programs_that_are_not_ours_are_told_to_leave_this_machine_out",
    ),
    Mutant(
        "caches of another user are used",
        "runtime/user_caches.py",
        "    if owner != os.geteuid():",
        "    if False:",
        "tests/unit/runtime/test_user_caches.py::test_what_another_user_put_there_is_not_used",
    ),
    Mutant(
        "a user without a home has no caches",
        "runtime/user_caches.py",
        "home_caches() or _temporary()",
        "(home_caches() or Path.home())",
        "tests/unit/runtime/test_user_caches.py::test_a_user_without_a_home_has_a_folder_of_its_own",
    ),
    Mutant(
        "clients speak one family of addresses",
        "runtime/kafka_records.py",
        '    "log_level": 0,',
        ('    "broker.address.family": "v4",\n    "log_level": 0,'),
        "tests/unit/runtime/test_kafka_records.py::test_no_client_is_bound_to_one_family_of_addresses",
    ),
)

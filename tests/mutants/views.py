"""Mutants: the views, the relay, and Postgres that is away, read-only or behind a pooler."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "projector: has_more is off",
        "streams/projector.py",
        "has_more=lambda: self._flow.is_behind()",
        "has_more=lambda: False",
        "tests/integration/streams/test_projecting.py::test_what_waits_for_the_database_is_not_delivered_once_more",
    ),
    Mutant(
        "the projector does not wait for the broker",
        "streams/projector.py",
        ("                await asyncio.sleep(watch.failed(error.args[0].name(), topic=LEDGER, partition=partition))"),
        "                raise",
        "tests/unit/streams/test_programs.py::test_a_broker_that_goes_away_while_ledgers_are_assigned_does_not_end_the_projector",
    ),
    Mutant(
        "the projector does not wait for its database",
        "streams/projector.py",
        "                await asyncio.sleep(watch.failed(found, do=trouble_of(error).todo, **place))",
        "                raise",
        "tests/unit/streams/test_programs.py::test_the_projector_waits_for_its_database_and_goes_on_where_the_views_are",
    ),
    Mutant(
        "views that were rebuilt meanwhile end the projector",
        "streams/projector.py",
        ("                await self._begin(partition, pool)\n            return\n        except _RowsRefused"),
        ("                pass\n            return\n        except _RowsRefused"),
        "tests/unit/streams/test_programs.py::test_views_that_were_emptied_meanwhile_are_folded_from_the_beginning",
    ),
    Mutant(
        "the views take what does not follow",
        "views/projection.py",
        "        if batch.pool != pool or batch.prev_hash != want_hash or batch.seq != want_seq:",
        "        if False:",
        "tests/integration/views/test_projection.py::test_a_record_that_does_not_follow_is_refused",
    ),
    Mutant(
        "a session that began read-only goes back to the pool",
        "streams/projector.py",
        (
            "                connection.invalidate()  # SQLAlchemy has not seen the driver's error, "
            "nor what state it left\n"
        ),
        "",
        "tests/integration/streams/test_projecting.py::test_a_read_only_database_is_waited_for",
    ),
    Mutant(
        "a row that the database refuses stops the views",
        "views/refusals.py",
        "    return isinstance(error, psycopg.Error) and is_of_the_data(error)",
        "    return False",
        "tests/integration/streams/test_projecting.py::test_what_the_database_refuses_is_left_out_and_the_rest_goes_on",
    ),
    Mutant(
        "the relay writes before it marks",
        "registry/relay.py",
        (
            '            connection.execute(_MARK, {"id": row.id})\n'
            "            if self._told != (row.id, row.event_id):\n"
            "                self._tell(row)\n"
            "                self._told = (row.id, row.event_id)\n"
        ),
        (
            "            if self._told != (row.id, row.event_id):\n"
            "                self._tell(row)\n"
            "                self._told = (row.id, row.event_id)\n"
            '            connection.execute(_MARK, {"id": row.id})\n'
        ),
        "tests/integration/registry/test_relay.py::test_a_database_that_takes_no_writes_is_noticed_before_anything_is_written_to_the_broker",
    ),
    Mutant(
        "two relays work at once",
        "registry/relay.py",
        (
            '            if not connection.execute(_LOCK, {"lock": RELAY_LOCK}).scalar_one():\n'
            "                return False\n"
        ),
        "",
        "tests/integration/registry/test_relay.py::test_a_relay_keeps_out_while_another_one_waits_for_its_ack",
    ),
    Mutant(
        "the relay listens through a pooler",
        "registry/relay.py",
        "            pooled = is_pooled(driver)\n",
        "            pooled = False\n",
        "tests/integration/registry/test_pooler.py::test_two_relays_carry_everything_once_and_one_that_goes_leaves_no_lock_behind",
    ),
    Mutant(
        "the relay's lock outlives its transaction",
        "registry/relay.py",
        "pg_try_advisory_xact_lock",
        "pg_try_advisory_lock",
        "tests/integration/registry/test_relay.py::test_relays_that_lose_their_database_sessions_make_new_ones",
    ),
    Mutant(
        "a pooler is not noticed",
        "runtime/postgres.py",
        "    return row is None or row[0] != driver.info.backend_pid",
        "    return False",
        "tests/integration/registry/test_pooler.py::test_a_pooler_is_noticed_and_its_absence_too",
    ),
    Mutant(
        "through a pooler a time limit is that of the session",
        "runtime/postgres.py",
        'f"SET LOCAL statement_timeout',
        'f"SET statement_timeout',
        "tests/integration/registry/test_pooler.py::test_a_time_limit_holds_in_each_transaction_and_for_nobody_else",
    ),
    Mutant(
        "through a pooler statements are prepared",
        "runtime/postgres.py",
        "            driver.prepare_threshold = None\n",
        "            pass\n",
        "tests/integration/registry/test_pooler.py::test_statements_of_many_threads_do_not_meet_in_one_session",
    ),
    Mutant(
        "the driver's own errors are no outage",
        "runtime/postgres.py",
        "away = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)",
        "away = False",
        "tests/unit/runtime/test_postgres_troubles.py::test_what_was_found_is_said_and_what_helps",
    ),
    Mutant(
        "a value that is refused is an outage",
        "runtime/postgres.py",
        "        away = not is_of_the_data(error)",
        "        away = True",
        "tests/unit/streams/test_admission.py::test_a_fault_of_the_data_never_waits_for_the_registry[NumericValueOutOfRange]",
    ),
    Mutant(
        "a read-only database is a defect",
        "runtime/postgres_troubles.py",
        '    "25006": READ_ONLY,\n',
        "",
        "tests/unit/runtime/test_postgres_troubles.py::test_what_was_found_is_said_and_what_helps",
    ),
    Mutant(
        "the read-only probe is off",
        "runtime/postgres.py",
        'scalar_one() == "on":',
        'scalar_one() == "never":',
        "tests/integration/api/test_service.py::test_a_read_only_database_is_said_and_no_job_is_acknowledged",
    ),
    Mutant(
        "the views fold what does not follow, in the projector",
        "views/projection.py",
        "        want_hash, want_seq = (GENESIS, 0) if at is None else (at.hash, at.seq + 1)",
        "        want_hash, want_seq = batch.prev_hash, batch.seq",
        "tests/unit/streams/test_programs.py::test_views_that_were_emptied_meanwhile_are_folded_from_the_beginning",
    ),
)

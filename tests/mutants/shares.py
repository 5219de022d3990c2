"""Mutants: nobody takes everybody's share of an API process."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_KEY_TEXT = "tests/unit/registry/test_key_text.py"
_CONNECTIONS = "tests/unit/api/test_connections.py"
_SHARES = "tests/unit/api/test_shares.py"
_CANCELS = "tests/unit/api/test_cancels.py"
_STREAMS = "tests/unit/api/test_streams.py"

MUTANTS = (
    Mutant(
        "the database is asked for keys that were copied wrongly",
        "registry/keys.py",
        "        return _sum_of(secret[:-_SUM_CHARACTERS]) == secret[-_SUM_CHARACTERS:]",
        "        return True",
        f"{_KEY_TEXT}::test_a_key_that_was_copied_wrongly_is_known_by_its_sum",
    ),
    Mutant(
        "keys of older releases are refused",
        "registry/keys.py",
        "    return _OLD.fullmatch(secret) is not None",
        "    return False",
        f"{_KEY_TEXT}::test_keys_of_older_releases_are_asked_for",
    ),
    Mutant(
        "any text is asked for as a key",
        "api/callers.py",
        "    if not keys.could_be(secret):",
        "    if not secret.startswith(keys.PREFIX):",
        "tests/unit/api/test_requests.py::test_what_is_no_key_is_refused_and_not_quoted[Bearer hr_abc]",
    ),
    Mutant(
        "a silent connection stays for ever",
        "api/connections.py",
        "        else:\n            self._arm()\n\n    def data_received",
        "\n    def data_received",
        f"{_CONNECTIONS}::test_a_connection_that_does_not_send_its_headers_ends",
    ),
    Mutant(
        "the headers of a later request may take for ever",
        "api/connections.py",
        "            self._begin()\n        else:\n            self._arm()",
        "            self._begin()",
        f"{_CONNECTIONS}::test_a_second_request_that_does_not_end_ends_the_connection",
    ),
    Mutant(
        "a request that takes its time is cut off",
        "api/connections.py",
        "    def _begin(self) -> None:\n        self._disarm()\n",
        "    def _begin(self) -> None:\n",
        f"{_CONNECTIONS}::test_a_request_under_way_may_take_its_time_and_its_connection_waits_afterwards",
    ),
    Mutant(
        "one address may have all connections",
        "api/connections.py",
        "        if len(of_address) >= self._of_address_max:",
        "        if False:",
        f"{_CONNECTIONS}::test_the_connection_that_has_waited_longest_makes_room",
    ),
    Mutant(
        "many addresses together may have all open files",
        "api/connections.py",
        "        if self.count >= self._connections_max:",
        "        if False:",
        f"{_CONNECTIONS}::test_many_silent_connections_from_many_addresses_leave_room_too",
    ),
    Mutant(
        "an answer that nobody reads keeps its connection",
        "api/connections.py",
        "        if self.transport.get_write_buffer_size():",
        "        if False:",
        f"{_CONNECTIONS}::test_a_client_that_never_reads_its_answer_loses_its_connection",
    ),
    Mutant(
        "addresses of IPv6 are counted one by one",
        "api/addresses.py",
        "int(address) >> _HOST_BITS_OF_V6 << _HOST_BITS_OF_V6",
        "int(address)",
        f"{_CONNECTIONS}::test_a_network_of_ipv6_counts_as_one_address[2001:db8:1:2:3:4:5:6-2001:db8:1:2::]",
    ),
    Mutant(
        "the API has as many open files as it was given",
        "runtime/open_files.py",
        "        resource.setrlimit(resource.RLIMIT_NOFILE, (may, hard))",
        "        pass",
        f"{_CONNECTIONS}::test_open_files_are_raised_as_far_as_they_may_be",
    ),
    Mutant(
        "a body may take for ever",
        "api/request_body.py",
        "        async with asyncio.timeout(BODY_S):",
        "        async with asyncio.timeout(None):",
        "tests/unit/api/test_requests.py::test_a_body_that_does_not_end_is_given_up",
    ),
    Mutant(
        "one tenant has all threads",
        "api/threads.py",
        "        self._each_max = each_max or threads",
        "        self._each_max = threads",
        f"{_SHARES}::test_one_caller_leaves_threads_to_the_others",
    ),
    Mutant(
        "a call that is given up keeps its turn",
        "api/threads.py",
        "        except BaseException:\n            self._forget(who, turns)\n            raise",
        "        except ZeroDivisionError:\n            raise",
        f"{_SHARES}::test_a_call_that_is_given_up_while_it_waits_gives_its_turn_back",
    ),
    Mutant(
        "a call that is given up while all threads are at work keeps its turn",
        "api/threads.py",
        "            except BaseException:\n                self._end_turn(who)\n                raise",
        "            except ZeroDivisionError:\n                raise",
        f"{_SHARES}::test_a_call_that_is_given_up_while_it_waits_gives_its_turn_back",
    ),
    Mutant(
        "a tenant has as many requests at once as it sends",
        "api/callers.py",
        "    if not resources.requests.take(key.tenant):",
        "    if not resources.requests.take(key.tenant) and False:",
        f"{_SHARES}::test_a_tenant_has_so_many_requests_at_once_and_the_next_one_is_told_to_wait",
    ),
    Mutant(
        "a request keeps its share",
        "api/guard.py",
        "            for end in ends:\n                end()\n",
        "",
        f"{_SHARES}::test_a_tenant_has_so_many_requests_at_once_and_the_next_one_is_told_to_wait",
    ),
    Mutant(
        "questions are asked in nobody's name",
        "api/callers.py",
        "    ASKER.set(key.tenant)\n",
        "",
        f"{_SHARES}::test_questions_are_asked_in_the_name_of_the_tenant",
    ),
    Mutant(
        "each wrong key is a question to the database",
        "api/key_checks.py",
        "        if wait_s:\n",
        "        if False:\n",
        f"{_SHARES}::test_ten_thousand_wrong_keys_cost_a_few_questions_and_keep_no_right_key_out",
    ),
    Mutant(
        "wrong keys keep a right one out",
        "api/key_checks.py",
        "0 if digest in self._good else self._failures.wait_s(address)",
        "self._failures.wait_s(address)",
        f"{_SHARES}::test_ten_thousand_wrong_keys_cost_a_few_questions_and_keep_no_right_key_out",
    ),
    Mutant(
        "a stampede of one key asks many times",
        "api/shares.py",
        "        if task is None:",
        "        if True:",
        f"{_SHARES}::test_calls_of_one_name_are_one_call_and_one_outcome",
    ),
    Mutant(
        "every address that ever sent a wrong key is remembered",
        "api/failed_keys.py",
        "LRUCache(ADDRESSES_MAX)",
        "LRUCache(10**9)",
        f"{_SHARES}::test_an_address_that_sends_wrong_keys_has_to_wait_and_is_forgiven",
    ),
    Mutant(
        "one tenant has all event streams",
        "api/hub.py",
        "        self._of_tenant[tenant] += 1\n",
        "",
        f"{_SHARES}::test_streams_of_one_tenant_leave_room_for_others",
    ),
    Mutant(
        "a revoked key reads its streams on",
        "api/events.py",
        "                if not await resources.keys.is_in_force(secret):",
        "                if False:",
        f"{_STREAMS}::test_a_stream_that_always_has_news_looks_at_its_key_too",
    ),
    Mutant(
        "a stream without news never looks at its key",
        "api/events.py",
        "                async with asyncio.timeout_at(look_s):",
        "                async with asyncio.timeout_at(look_s + 1_000):",
        f"{_STREAMS}::test_a_stream_whose_key_was_revoked_ends",
    ),
    Mutant(
        "streams end while the database is away",
        "api/key_checks.py",
        "        except (*DATABASE_ERRORS, Problem):\n            return True",
        "        except (*DATABASE_ERRORS, Problem):\n            return False",
        f"{_SHARES}::test_a_key_is_in_force_until_somebody_says_otherwise",
    ),
    Mutant(
        "a cancel is written as often as it is sent",
        "api/cancels.py",
        "        self._acknowledged[job] = None\n",
        "",
        f"{_CANCELS}::test_a_cancel_that_the_broker_has_is_written_once",
    ),
    Mutant(
        "a cancelling job is cancelled again",
        "api/jobs.py",
        "    if row.state == JobState.CANCELLING:",
        "    if False:",
        f"{_CANCELS}::test_a_job_that_is_cancelling_is_told_nothing_again",
    ),
    Mutant(
        "a cancel without an acknowledgement is not written again",
        "api/cancels.py",
        "        await self._together.run(job, write)\n        self._acknowledged[job] = None\n",
        "        self._acknowledged[job] = None\n        await self._together.run(job, write)\n",
        f"{_CANCELS}::test_a_cancel_that_nobody_acknowledged_is_written_again",
    ),
    Mutant(
        "whoever reaches the API reads the numbers of its process",
        "api/app.py",
        "        if settings.api_metrics_public:",
        "        if True:",
        f"{_SHARES}::test_the_numbers_of_the_process_are_not_on_the_port_of_its_callers",
    ),
    Mutant(
        "nobody can read the numbers of the API",
        "local/composition.py",
        '            "metrics_port": self.ports[_API_METRICS if port else name],',
        '            "metrics_port": 0 if port else self.ports[name],',
        "tests/unit/local/test_composition.py::test_the_numbers_of_the_api_have_a_port_of_their_own",
    ),
    Mutant(
        "a page with filters looks at a whole history",
        "views/queries.py",
        "{history} {_NEWEST_FIRST} LIMIT :scanned) jobs",
        "{history} {_NEWEST_FIRST}) jobs",
        "tests/integration/views/test_queries.py::"
        "test_a_page_with_filters_looks_at_so_many_jobs_only_and_the_next_ones_find_the_rest",
    ),
    Mutant(
        "a page with filters that found little is taken for the last",
        "views/queries.py",
        "        last = connection.execute(place, values).one_or_none()\n",
        "        pass\n",
        "tests/integration/views/test_queries.py::"
        "test_a_page_with_filters_looks_at_so_many_jobs_only_and_the_next_ones_find_the_rest",
    ),
)

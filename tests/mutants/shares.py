"""Mutants: nobody takes everybody's share of an API process."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_KEY_TEXT = "tests/unit/registry/test_key_text.py"
_CONNECTIONS = "tests/unit/api/test_connections.py"

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
)

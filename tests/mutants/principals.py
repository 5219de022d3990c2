"""Mutants: Who speaks to Kafka as whom, and which brokers a process of ours refuses."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_LOGINS = "tests/unit/local/test_kafka_logins.py"
_COMPOSITION = "tests/unit/local/test_composition.py"
_ASKED = "tests/process/runtime/test_anonymous_clients.py"
_COMPOSE = "tests/unit/local/test_compose.py"
_IAM = "tests/unit/runtime/test_kafka_iam.py"
_ACCESS = "tests/unit/contract/test_access.py"
_LET_IN = "tests/process/runtime/test_entry.py::test_a_broker_that_lets_anybody_in"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "the users of a stack's broker are for everybody to read",
        "local/kafka_logins.py",
        "msgspec.json.encode(dict(passwords))), mode=0o600)",
        "msgspec.json.encode(dict(passwords))), mode=0o644)",
        f"{_LOGINS}::test_each_role_and_each_cluster_has_a_user_of_its_own_which_the_next_start_finds",
    ),
    Mutant(
        "each start draws new users",
        "local/kafka_logins.py",
        "for role in wanted if not known.get(role)}",
        "for role in wanted}",
        f"{_LOGINS}::test_each_role_and_each_cluster_has_a_user_of_its_own_which_the_next_start_finds",
    ),
    Mutant(
        "a new cluster takes the users from the others",
        "local/kafka_logins.py",
        "return install(brokers_as(path, addresses, ADMIN), draw(path, clusters))",
        "return install(brokers_as(path, addresses, ADMIN), dict.fromkeys(map(node_role, clusters), ''))",
        f"{_LOGINS}::test_a_new_cluster_is_admitted_and_the_others_stay",
    ),
    Mutant(
        "a cluster that is gone keeps its user",
        "local/kafka_logins.py",
        "        remove_users(admin, [PRINCIPAL_PREFIX + role for role in gone])\n",
        "",
        f"{_LOGINS}::test_who_is_not_kept_loses_user_and_rules",
    ),
    Mutant(
        "a cluster that is gone has its user again at the next start",
        "local/kafka_logins.py",
        "        _write(path, kept)\n",
        "",
        f"{_LOGINS}::test_who_is_not_kept_loses_user_and_rules",
    ),
    Mutant(
        "every process of a stack is an operator to the broker",
        "local/composition.py",
        "            **kafka_logins.settings_of(self._passwords, kafka_role or role),\n",
        "",
        f"{_COMPOSITION}::test_each_process_has_its_own_user_of_the_broker_and_no_other",
    ),
    Mutant(
        "a stack's broker asks nobody for a name",
        "local/composition.py",
        "            admin_password=self._passwords[ADMIN],\n",
        "",
        f"{_COMPOSITION}::test_each_process_has_its_own_user_of_the_broker_and_no_other",
    ),
    Mutant(
        "the token of another installation is asked for with a stack's user",
        "local/kafka_logins.py",
        '        "kafka_token_url": "",\n',
        "",
        f"{_COMPOSITION}::test_settings_of_other_brokers_are_not_those_of_the_stacks",
    ),
    Mutant(
        "whoever makes shadows may write in transactions",
        "contract/access.py",
        'AccessRule(PRODUCER, "transactional_id"',
        'AccessRule(SHADOW_RUNNER, "transactional_id"',
        f"{_ACCESS}::test_a_producer_alone_writes_in_transactions",
    ),
    Mutant(
        "a relay runs with a broker that lets anybody in",
        "registry/relay.py",
        "    require_names(settings)\n",
        "",
        f"{_LET_IN}[relay]",
    ),
    Mutant(
        "an API runs with a broker that lets anybody in",
        "api/__main__.py",
        "    require_names(settings)\n",
        "",
        f"{_LET_IN}[api]",
    ),
    Mutant(
        "a node runs with a broker that lets anybody in",
        "gpu_worker/__main__.py",
        "    require_names(settings)\n",
        "",
        f"{_LET_IN}[gpu_worker]",
    ),
    Mutant(
        "a processor runs with a broker that lets anybody in",
        "streams/hosting/faust_app.py",
        "        require_names(settings)\n",
        "",
        f"{_LET_IN}[scheduler]",
    ),
    Mutant(
        "an installation is made on a broker that lets anybody in",
        "local/install.py",
        "    require_names(settings)\n    try:",
        "    try:",
        f"{_LET_IN}[install]",
    ),
    Mutant(
        "only the first address is asked",
        "runtime/anonymous_clients.py",
        '    addresses = brokers.addresses.split(",")\n',
        '    addresses = brokers.addresses.split(",")[:1]\n',
        f"{_ASKED}::test_one_open_broker_of_several_is_refused",
    ),
    Mutant(
        "a broker that was away is never asked again",
        "runtime/anonymous_clients.py",
        "    if away := _away(brokers):",
        "    if (away := _away(brokers)) and False:",
        f"{_ASKED}::test_who_was_away_is_asked_until_it_answers",
    ),
    Mutant(
        "an answer may have any size",
        "runtime/anonymous_clients.py",
        "    if len(answer) > ANSWER_BYTES_MAX:",
        "    if False:",
        f"{_ASKED}::test_no_answer_is_read_without_an_end",
    ),
    Mutant(
        "a broker that hangs up lets clients in",
        "runtime/anonymous_clients.py",
        "Treated.AWAY if answer else Treated.TURNED_AWAY)",
        "Treated.AWAY if answer else Treated.LET_IN)",
        f"{_ASKED}::test_each_answer_is_understood[hangs up]",
    ),
    Mutant(
        "a setting for development is not heard",
        "runtime/anonymous_clients.py",
        "    if settings.kafka_development:",
        "    if False:",
        f"{_ASKED}::test_for_development_nobody_is_asked",
    ),
    Mutant(
        "doctor takes a broker that lets anybody in for good",
        "cli/doctor.py",
        "what, here.kafka_development, found,",
        "what, True, found,",
        "tests/unit/cli/test_doctor.py::test_brokers_are_asked_what_they_do_with_a_client_without_a_name",
    ),
    Mutant(
        "status says nothing of a broker that lets anybody in",
        "cli/troubles.py",
        "    found.nameless = ",
        "    _ = ",
        "tests/unit/cli/test_troubles.py::test_brokers_that_let_anybody_in_are_said",
    ),
    Mutant(
        "a process of compose has the user of another",
        "local/kafka_logins.py",
        "    folders = dict(zip(ROLES, ROLES, strict=True)) |",
        "    folders = dict(zip(ROLES, reversed(ROLES), strict=True)) |",
        f"{_COMPOSE}::test_each_process_has_its_own_secrets_and_no_others",
    ),
    Mutant(
        "compose lets clients of this machine in without a name",
        "docker-compose.yml",
        "CLIENTS:SASL_PLAINTEXT,HOST:SASL_PLAINTEXT",
        "CLIENTS:SASL_PLAINTEXT,HOST:PLAINTEXT",
        f"{_COMPOSE}::test_every_listener_asks_for_a_name_and_rules_hold_as_in_the_stack",
    ),
    Mutant(
        "compose's rules hold for nobody who has none",
        "docker-compose.yml",
        'KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND: "false"',
        'KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND: "true"',
        f"{_COMPOSE}::test_every_listener_asks_for_a_name_and_rules_hold_as_in_the_stack",
    ),
    Mutant(
        "librdkafka is given no token of IAM",
        "runtime/kafka_credentials.py",
        '            return config | {"oauth_cb": partial(kafka_iam.token_for_librdkafka, shown.iam_region)}\n',
        "            return config\n",
        f"{_IAM}::test_librdkafka_is_given_a_signed_url_of_the_region",
    ),
    Mutant(
        "Faust asks a token endpoint where IAM is meant",
        "streams/hosting/faust_credentials.py",
        "make = _signed if self._shown.iam_region else _fetch",
        "make = _fetch",
        f"{_IAM}::test_faust_is_given_the_same_and_keeps_it_while_it_is_fresh",
    ),
    Mutant(
        "a token of IAM may cross the network in clear",
        "runtime/kafka_credentials.py",
        '        if (self.security, self.mechanism) != ("sasl_ssl", "OAUTHBEARER"):',
        '        if self.mechanism != "OAUTHBEARER":',
        f"{_IAM}::test_what_does_not_go_together_is_told",
    ),
    Mutant(
        "a machine without credentials of AWS ends in a defect",
        "runtime/kafka_iam.py",
        "    except (AttributeError, ValueError):",
        "    except ValueError:",
        f"{_IAM}::test_a_machine_without_credentials_has_no_token_and_says_so",
    ),
    Mutant(
        "a node appends to the ledger",
        "contract/access.py",
        'AccessRule(node, "topic", PROGRESS, "write"),',
        'AccessRule(node, "topic", LEDGER, "write"),',
        f"{_ACCESS}::test_only_schedulers_write_the_ledger_and_give_orders",
    ),
    Mutant(
        "a node reads the orders of other clusters",
        "contract/access.py",
        'AccessRule(node, "topic", dispatch_topic(cluster), "read"),',
        'AccessRule(node, "topic", DISPATCH_PREFIX, "read", prefixed=True),',
        f"{_ACCESS}::test_a_node_writes_its_reports_and_reads_the_orders_of_its_own_cluster",
    ),
    Mutant(
        "an auditor writes",
        "contract/access.py",
        'AUDITOR: {LEDGER: ("read",), JOBS: ("read",), SHADOW: ("read",)},',
        'AUDITOR: {LEDGER: ("read",), JOBS: ("read",), SHADOW: ("read", "write")},',
        f"{_ACCESS}::test_an_auditor_changes_nothing_and_a_producer_has_its_topic_only",
    ),
    Mutant(
        "a producer reads what others submit",
        "contract/access.py",
        'PRODUCER: {SUBMISSIONS: ("write",)},',
        'PRODUCER: {SUBMISSIONS: ("read", "write")},',
        f"{_ACCESS}::test_an_auditor_changes_nothing_and_a_producer_has_its_topic_only",
    ),
)

"""Mutants: rights and logins in Postgres, owners of models, who may see a model."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_MIGRATION = "migrations/versions/0010_authors.py"
_LOGINS = "tests/integration/registry/test_logins.py::"
_RELAY = "tests/integration/registry/test_relay.py::"
_SERVICES = "tests/integration/local/test_services.py::"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "an author reads the API's keys",
        "runtime/database_rights.py",
        '    "views.publishing_rules": _READ,\n',
        '    "views.publishing_rules": _READ,\n    "registry.keys": _READ,\n',
        _LOGINS + "test_what_a_login_must_not_do_is_denied[author]",
    ),
    Mutant(
        "rights that a role had once stay",
        "runtime/database_rights.py",
        '        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(schemas, group),\n',
        "",
        _LOGINS + "test_a_right_that_is_no_longer_in_the_table_is_taken_away",
    ),
    Mutant(
        "every login makes temporary tables",
        "runtime/database_rights.py",
        "REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC",
        "GRANT TEMPORARY ON DATABASE {} TO PUBLIC",
        _LOGINS + "test_what_a_login_must_not_do_is_denied[author]",
    ),
    Mutant(
        "a login keeps the role that it had",
        "runtime/database_logins.py",
        'connection.execute(sql.SQL("REVOKE {} FROM {}").format(group, name))',
        "pass",
        _LOGINS + "test_a_login_has_one_role_at_a_time",
    ),
    Mutant(
        "whoever may call a function writes as the owner of the tables",
        _MIGRATION,
        '        op.execute(f"REVOKE EXECUTE ON FUNCTION registry.{function}() FROM PUBLIC")\n',
        "        pass\n",
        _LOGINS + "test_no_author_hangs_what_writes_as_the_owner_on_a_table_of_his_own[point_alias]",
    ),
    Mutant(
        "an author publishes every model",
        _MIGRATION,
        "    IF owner <> session_user THEN\n",
        "    IF false THEN\n",
        _LOGINS + "test_an_author_who_goes_round_the_command_is_refused_by_the_database",
    ),
    Mutant(
        "the refusal comes after the upload",
        "registry/publishing.py",
        "        owners.require(connection, manifest.name)\n        pool = _pool_for",
        "        pool = _pool_for",
        _LOGINS + "test_another_authors_model_is_refused_in_a_sentence_before_anything_is_uploaded",
    ),
    Mutant(
        "a client says who published",
        _MIGRATION,
        "        NEW.published_by := session_user;\n",
        "",
        _LOGINS + "test_an_author_publishes_as_the_login_and_not_as_the_client_says",
    ),
    Mutant(
        "a client says who moved an alias",
        _MIGRATION,
        "        NEW.moved_by := session_user;\n",
        "",
        _LOGINS + "test_an_author_publishes_as_the_login_and_not_as_the_client_says",
    ),
    Mutant(
        "a model belongs to nobody",
        _MIGRATION,
        "        VALUES (NEW.name, 1, session_user, session_user, 'registered it');\n",
        "        VALUES (NEW.name, 1, '', session_user, 'registered it');\n",
        _LOGINS + "test_an_author_publishes_as_the_login_and_not_as_the_client_says",
    ),
    Mutant(
        "an author sees everybody's versions",
        _MIGRATION,
        "OR registry.owner_of(model) = session_user);",
        "OR true);",
        _LOGINS + "test_an_author_sees_no_version_and_no_alias_of_another",
    ),
    Mutant(
        "an author numbers moves as he likes",
        _MIGRATION,
        "    PERFORM registry.is_numbered(NEW.move, last.move, format('alias %s@%s', NEW.model, NEW.alias));\n",
        "",
        _LOGINS + "test_moves_of_an_author_are_numbered_without_gaps",
    ),
    Mutant(
        "an author names models as he likes",
        _MIGRATION,
        "    IF NEW.name !~ ",
        "    IF false AND NEW.name !~ ",
        _LOGINS + "test_names_that_are_none_are_refused",
    ),
    Mutant(
        "an author hands models over",
        "registry/owners.py",
        '        if not connection.execute(text("SELECT registry.is_operator()")).scalar_one():',
        "        if False:",
        _LOGINS + "test_what_was_there_and_what_operators_register_is_theirs_until_they_hand_it_over",
    ),
    Mutant(
        "what owned a model is rewritten",
        _MIGRATION,
        'INSERT_ONLY = ("owners", "audience_changes")',
        'INSERT_ONLY = ("audience_changes",)',
        _LOGINS + "test_who_owned_a_model_is_not_rewritten",
    ),
    Mutant(
        "a scheduler is told of another model's manifest",
        "registry/relay.py",
        "    if manifest.name != row.model:",
        "    if False:",
        _RELAY + "test_a_manifest_that_is_none_or_anothers_is_told_to_nobody_and_holds_up_nothing",
    ),
    Mutant(
        "a manifest that is none stops the relay",
        "registry/relay.py",
        "        except RegistryError as error:\n            failures",
        "        except ZeroDivisionError as error:\n            failures",
        _RELAY + "test_a_manifest_that_is_none_or_anothers_is_told_to_nobody_and_holds_up_nothing",
    ),
    Mutant(
        "whoever reaches the socket is a superuser",
        "local/postgres_passwords.py",
        '_SHUT, _OPEN = "local all all scram-sha-256\\n"',
        '_SHUT, _OPEN = "local all all trust\\n"',
        _SERVICES + "test_data_that_let_in_everybody_lets_in_nobody_without_a_password_any_more",
    ),
    Mutant(
        "data of older releases stays open",
        "local/postgres_server.py",
        "                    shut(connection, self._data, self.passwords.of(OWNER), self._owner)\n",
        "                    pass\n",
        _SERVICES + "test_data_that_let_in_everybody_lets_in_nobody_without_a_password_any_more",
    ),
    Mutant(
        "a process of the stack has the owner's login",
        "local/composition.py",
        "            settings = self._as(settings, role)\n",
        "            settings = self._as(settings, OWNER)\n",
        "tests/unit/local/test_composition.py::test_each_process_has_a_login_of_the_database_of_its_own",
    ),
)

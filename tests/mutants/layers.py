"""Mutants of what holds a child off its agent: each takes a layer out, or a part of one.

Layers overlap on purpose, so a mutant's test looks at a form of confinement in which that layer stands alone.
"""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_HOSTILE = "tests/process/gpu_worker/test_hostile_models.py"
_LAYERS = "tests/process/gpu_worker/test_layers.py"
_ALL_HOLD = f"{_LAYERS}::test_a_child_can_do_nothing_that_no_child_may_do"
_NO_OTHER_USER = f"{_LAYERS}::test_without_another_user_all_else_holds"
_RULES_ALONE = f"{_LAYERS}::test_rules_alone_leave_sockets_that_have_a_path"
_LIMITS_ALONE = f"{_LAYERS}::test_with_limits_alone_a_child_is_as_the_agent"

_KEPT = "tests/process/gpu_worker/test_kept_children.py"
_SLOT = "tests/process/gpu_worker/test_slot.py"
_ROOMS = "tests/process/gpu_worker/test_gang_rooms.py"
_PLANS = "tests/unit/runtime/worker/test_confinement.py"

_CHILD = "gpu_worker/child"
_CONFINEMENT, _BEHIND = "runtime/worker/confinement.py", "runtime/worker/layers"
_PROCESSES = f"{_BEHIND}/processes.py"
_LIMITS, _USER = f"{_BEHIND}/limits.py", f"{_BEHIND}/user.py"
_NAMESPACES, _LANDLOCK = f"{_BEHIND}/namespaces.py", f"{_BEHIND}/landlock.py"

MUTANTS = (
    Mutant("a child sees the whole disk", _NAMESPACES, "    k.pivot_root()\n", "", _NO_OTHER_USER),
    Mutant(
        "a child is on the machine's network",
        _NAMESPACES,
        '"net": plan["network"] == "own"',
        '"net": False',
        f"{_HOSTILE}::test_it_reaches_nobody",
    ),
    Mutant(
        "a child cannot speak to itself",
        _NAMESPACES,
        "        raise_loopback()\n",
        "        pass\n",
        f"{_HOSTILE}::test_what_a_model_of_ours_needs_it_has",
    ),
    Mutant("a child of root is root", _USER, "        os.setresuid(uid, uid, uid)\n", "", _ALL_HOLD),
    Mutant("a child has what root may do", _USER, "    drop_capabilities()\n", "", _LIMITS_ALONE),
    Mutant(
        "a child gains privileges",
        _USER,
        "    from_kernel.prctl(from_kernel.PR_SET_NO_NEW_PRIVS, 1)\n",
        "",
        _LIMITS_ALONE,
    ),
    Mutant(
        "a child leaves core files",
        _LIMITS,
        "    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n",
        "",
        _LIMITS_ALONE,
    ),
    Mutant(
        "a child starts any number of processes",
        _LIMITS,
        'resource.RLIMIT_NPROC: plan["nproc"]',
        "resource.RLIMIT_NPROC: 0",
        f"{_HOSTILE}::test_it_starts_only_so_many_processes",
    ),
    Mutant(
        "a child fills the disk with one file",
        _LIMITS,
        'resource.RLIMIT_FSIZE: plan["fsize"]',
        "resource.RLIMIT_FSIZE: 0",
        f"{_HOSTILE}::test_it_uses_up_no_more_than_it_may",
    ),
    Mutant(
        "a child takes any address space",
        _LIMITS,
        'resource.RLIMIT_AS: plan["address_space"]',
        "resource.RLIMIT_AS: 0",
        f"{_HOSTILE}::test_it_uses_up_no_more_than_it_may",
    ),
    Mutant(
        "everybody reads what a child writes",
        _LIMITS,
        "    os.umask(UMASK)\n",
        "",
        f"{_HOSTILE}::test_what_a_model_of_ours_needs_it_has",
    ),
    Mutant("a child signals its agent", _LANDLOCK, "scope = SCOPE_SIGNAL | (", "scope = (", _NO_OTHER_USER),
    Mutant(
        "by rules alone a child opens any file",
        _LANDLOCK,
        "    rights = known(version)\n",
        "    rights = EXECUTE\n",
        _RULES_ALONE,
    ),
    Mutant(
        "by rules alone a child is on the network",
        _LANDLOCK,
        'plan["network"] == "shut" else 0',
        'plan["network"] == "no" else 0',
        _RULES_ALONE,
    ),
    Mutant(
        "a kernel that refuses a layer is no reason not to start",
        f"{_BEHIND}/enter.py",
        "        return REFUSED\n",
        "        pass\n",
        f"{_LAYERS}::test_a_form_in_which_no_child_starts_is_passed_over",
    ),
    Mutant(
        "a child sees the processes of the machine",
        _CONFINEMENT,
        '"own" if self.own_processes and not sees_ranks else "host"',
        '"host"',
        f"{_HOSTILE}::test_it_sees_nothing_of_the_agent_or_of_others",
    ),
    Mutant(
        "a child traces the first of its processes",
        _PROCESSES,
        "        from_kernel.prctl(from_kernel.PR_SET_DUMPABLE, 0)  # nor does the child trace this process\n",
        "",
        f"{_HOSTILE}::test_it_sees_nothing_of_the_agent_or_of_others",
    ),
    Mutant(
        "a child outlives its keeper",
        _PROCESSES,
        "        from_kernel.prctl(from_kernel.PR_SET_PDEATHSIG, signal.SIGKILL)\n",
        "",
        f"{_KEPT}::test_all_end_with_the_keeper_and_with_the_first",
    ),
    Mutant(
        "a keeper is killed in place of its child",
        "runtime/worker/child_process.py",
        "END_ALL if number == signal.SIGKILL else number",
        "number",
        f"{_KEPT}::test_the_keeper_lasts_as_long_as_anything_of_its_child",
    ),
    Mutant(
        "the first process holds the child's pipe open",
        _PROCESSES,
        "        let_go(self._status, self._nothing)\n",
        "",
        f"{_KEPT}::test_a_child_that_closes_its_pipe_is_seen_to",
    ),
    Mutant(
        "a child is not told that it is to end",
        _PROCESSES,
        "        os.setsid()  # a group of the child's own, to which SIGTERM is passed on\n",
        "",
        f"{_KEPT}::test_it_hears_that_it_is_to_end",
    ),
    Mutant(
        "a keeper says that every child ended well",
        _PROCESSES,
        "    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0\n",
        "    number = 0\n",
        f"{_KEPT}::test_its_end_is_told_as_it_was",
    ),
    Mutant(
        "ranks of a gang meet on the machine's network",
        f"{_CHILD}/model_process.py",
        "network=Network.HOST if goes_out else Network.OWN",
        "network=Network.HOST",
        f"{_ROOMS}::test_nobody_else_reaches_where_they_meet",
    ),
    Mutant(
        "ranks of a gang have no memory in common",
        f"{_BEHIND}/namespaces.py",
        "        k.mount_copy(memory, root + SHARED_MEMORY)\n",
        '        k.mount("headrace", root + SHARED_MEMORY, "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=1777")\n',
        f"{_ROOMS}::test_they_share_memory_and_nobody_else_does",
    ),
    Mutant(
        "an agent gives the ranks of a gang no room",
        "gpu_worker/held_attempts.py",
        "        if len(slots) == 1 or self._confinement is None",
        "        if True or self._confinement is None",
        "tests/process/gpu_worker/test_agent.py::test_ranks_of_a_gang_here_meet_behind_their_layers",
    ),
    Mutant(
        "an agent keeps what hands ranks their room",
        f"{_CHILD}/gang_room.py",
        "            for ours, _ in self._pairs.values():\n                ours.close()\n        else:",
        "            pass\n        else:",
        f"{_ROOMS}::test_a_rank_whose_first_does_not_start_does_not_wait_for_it",
    ),
    Mutant(
        "each rank of a gang has another user",
        _CONFINEMENT,
        '"uid": self.uid(shared.slot)',
        '"uid": self.uid(slot)',
        f"{_PLANS}::test_ranks_on_one_node_share_a_user_and_sockets_and_with_gpus_their_process_ids",
    ),
    Mutant(
        "a slot starts its children without layers",
        f"{_CHILD}/model_process.py",
        "        if confinement is not None:\n",
        "        if False:\n",
        "tests/process/gpu_worker/test_agent.py::test_its_children_are_held_off_and_their_outputs_arrive",
    ),
    Mutant(
        "an agent does not pass on what holds its children off",
        "gpu_worker/held_attempts.py",
        "self._strays, self, world.confinement)",
        "self._strays, self, None)",
        "tests/process/gpu_worker/test_agent.py::test_its_children_are_held_off_and_their_outputs_arrive",
    ),
    Mutant(
        "a node does not say which layers are missing",
        "gpu_worker/__main__.py",
        "    node = replace(node, layers_missing=layers.missing)\n",
        "",
        f"{_LAYERS}::test_a_node_says_which_layers_are_missing",
    ),
    Mutant(
        "a machine without layers begins with a policy that runs nothing there",
        "local/model_layers.py",
        "    if is_new and not is_own:\n",
        "    if False:\n",
        "tests/unit/local/test_model_layers.py::test_where_one_is_missing_it_is_said_which",
    ),
    Mutant(
        "a child with GPUs cannot name its threads",
        _CONFINEMENT,
        '"names_threads": gpus',
        '"names_threads": False',
        f"{_HOSTILE}::test_with_gpus_it_may_name_its_threads_and_change_nothing_of_the_machine",
    ),
    Mutant(
        "rules keep a child with GPUs from naming its threads",
        _CONFINEMENT,
        '*(["/proc"] if gpus else [])',
        "",
        f"{_HOSTILE}::test_with_gpus_it_may_name_its_threads_and_change_nothing_of_the_machine",
    ),
    Mutant(
        "a child with GPUs changes settings of the machine",
        f"{_BEHIND}/namespaces.py",
        'OF_THE_MACHINE = ("acpi", "bus", "driver", "fs", "irq", "scsi", "sys", "sysrq-trigger")',
        "OF_THE_MACHINE = ()",
        f"{_HOSTILE}::test_with_gpus_it_may_name_its_threads_and_change_nothing_of_the_machine",
    ),
    Mutant(
        "a version has the network although the policy allows it none",
        f"{_CHILD}/model_process.py",
        "(work.run.network and program.manifest.network is True)",
        "program.manifest.network is True",
        f"{_HOSTILE}::test_it_has_the_nodes_network_if_it_asks_and_the_policy_lets_it",
    ),
    Mutant(
        "a version has the network for which it did not ask",
        f"{_CHILD}/model_process.py",
        "(work.run.network and program.manifest.network is True)",
        "work.run.network",
        f"{_HOSTILE}::test_it_has_the_nodes_network_if_it_asks_and_the_policy_lets_it",
    ),
    Mutant(
        "a child goes from tenant to tenant",
        f"{_CHILD}/model_process.py",
        "        return run.isolation == VERSION or self.served <= {run.tenant}\n",
        "        return True\n",
        f"{_SLOT}::test_a_child_is_kept_for_whom_the_policy_says",
    ),
    Mutant(
        "a child that is for one job is given another",
        f"{_CHILD}/model_process.py",
        "run.world > 1 or run.isolation == JOB:",
        "run.world > 1:",
        f"{_SLOT}::test_a_stricter_policy_holds_for_a_child_that_served_others",
    ),
    Mutant(
        "a child that is for one job stays loaded",
        f"{_CHILD}/slot.py",
        "        if launched.work.run.isolation == JOB:\n",
        "        if False:\n",
        f"{_SLOT}::test_a_stricter_policy_holds_for_a_child_that_served_others",
    ),
    Mutant(
        "a node that models could reach ends like any that is refused",
        "runtime/worker/node_agent.py",
        'NOT_CONFINED if reason == "not_confined" else REFUSED',
        "REFUSED",
        "tests/process/gpu_worker/test_agent.py"
        "::test_a_node_that_models_could_reach_ends_where_the_policy_does_not_trust_them",
    ),
    Mutant(
        "an order's word about wheels does not reach the fetcher",
        "gpu_worker/io/supplies.py",
        "wheels_from_index=run.wheels_from_index",
        "wheels_from_index=True",
        "tests/unit/gpu_worker/test_supplies.py::test_what_the_order_says_of_wheels_reaches_the_depot",
    ),
    Mutant(
        "the policy about wheels does not reach the depot",
        "gpu_worker/io/versions.py",
        "self._depot.ensure(version, wheels_from_index=wheels_from_index)",
        "self._depot.ensure(version)",
        "tests/unit/gpu_worker/test_versions.py::test_the_policy_about_wheels_reaches_the_depot",
    ),
    Mutant(
        "packages of an environment run on the node while it is built",
        "registry/environments.py",
        '        install += ["--requirements", str(lock)]\n',
        '        install += ["--compile-bytecode", "--requirements", str(lock)]\n',
        "tests/integration/registry/test_depot.py::test_nothing_of_an_environment_runs_while_it_is_built",
    ),
    Mutant(
        "a link to a directory is no part of an environment",
        "registry/trees.py",
        "        if not stat.S_ISDIR(status.st_mode) and name != marker:\n",
        "        if stat.S_ISREG(status.st_mode) and name != marker:\n",
        "tests/unit/registry/test_trees.py::test_what_somebody_touched_is_not",
    ),
    Mutant(
        "a child is in a cgroup without limits",
        "runtime/worker/cgroups.py",
        "            limit(self._of(pid), memory_mib)\n",
        "",
        "tests/unit/runtime/worker/test_cgroups.py::test_the_limits_are_those_of_the_childs_slot",
    ),
    Mutant(
        "a node sets up the cgroups of the machine",
        "runtime/worker/cgroups.py",
        'if missing and not (base / "cgroup.type").exists():',
        "if False:",
        "tests/unit/runtime/worker/test_cgroups.py::test_controllers_are_asked_for_where_they_are_delegated",
    ),
    Mutant(
        "a node that cannot make room is left aside",
        "runtime/worker/cgroups.py",
        '        (base / "cgroup.procs").write_text(str(os.getpid()))\n',
        "        pass\n",
        "tests/unit/runtime/worker/test_cgroups.py::test_a_node_that_cannot_make_room_stays_where_it_was",
    ),
    Mutant(
        "data in a directory of the system is shown",
        _CONFINEMENT,
        '[path for path in self.hidden if path.startswith(tuple(f"{root}/" for root in system))]',
        "[]",
        f"{_PLANS}::test_data_in_a_directory_of_the_system_is_hidden",
    ),
    Mutant(
        "a directory around the data is shown, because the environment names it",
        _CONFINEMENT,
        "    if any(place == path or place.startswith(",
        "    if False and any(place == path or place.startswith(",
        f"{_PLANS}::test_it_is_shown_what_it_needs_and_nothing_around_that",
    ),
    Mutant(
        "what a child imports is compiled into the version",
        "runtime/worker/child_process.py",
        '"-I", "-B", str(program)',
        '"-I", str(program)',
        "tests/process/gpu_worker/test_slot.py::test_nothing_is_compiled_into_a_version",
    ),
)

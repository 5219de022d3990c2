"""The seeded simulation: the real scheduler and ledger writer in a world that fails on purpose.

Here live a simulated world (`timeline`, `log`, `nodes`, `workers`, `submitters`, `operators`, `extremes`, `schedulers`,
`faults`), an auditor that believes none of our code (`auditor` and what it is made of), and the broken variants that
the auditor must catch. What must not live here: a real clock, a thread, a socket, or a judgement made by `scheduling`.

Theory of operation. One `random.Random(seed)` and one queue of events in virtual time make every run repeatable. A run
has two phases, as TigerBeetle's VOPR has: first safety under faults (crashes, lost, late and doubled writes, zombies,
clock jumps, node losses, outages); then everything heals and every accepted job must end. The auditor looks at the raw
bytes of the log after every append. `python -m tests.simulation SEEDS` runs any number of seeds.
"""

"""The three programs that Faust hosts: `intake`, `scheduler` and `projector`. They move bytes between topics and the
core.

`ledger/` writes and leads the ledger of a pool, `door/` takes or refuses what outsiders wrote, and `hosting/` is the
only room that knows Faust. Nothing here decides anything about a job: `scheduling` does. Nothing here trusts the
offsets that Faust commits: positions come from the ledger, or from what was written.
"""

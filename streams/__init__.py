"""The processors that Faust hosts: intake, scheduler, projector. The only folder that knows Faust.

Here live `writer` (the sans-I/O writer of one pool's ledger: takeover, batches, fencing), `clock` (its time), and the
three programs that move bytes between topics and the pure core. Nothing here decides anything about a job: that is
`scheduling`. Nothing here trusts Faust's committed offsets: positions come from the ledger or from what was written.
"""

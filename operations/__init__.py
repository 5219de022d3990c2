"""What an operator does to a running installation: `erasure` of a job's words, `retention` of the views, and looking
into the `quarantine`.

Unlike `audit`, operations may write: to `jobs`, to the views and to the object store, never to a ledger.
"""

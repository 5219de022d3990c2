"""What an operator does to a running installation: `erasure` of a job's words, and looking into the `quarantine`.

Unlike `audit`, operations may write: to `jobs` and to the object store, never to a ledger.
"""

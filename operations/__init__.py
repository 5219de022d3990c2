"""What an operator does to a running installation: erasing a job's words, looking at what lies in quarantine.

Unlike `audit`, operations may write: to `jobs` and to the object store, never to a ledger.
"""

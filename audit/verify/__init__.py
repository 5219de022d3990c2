"""Proving a ledger: hashes, decisions made again, a second book kept by other code, and outside witnesses.

The second book shares no code with `scheduling`, so that a fault of the one is seen by the other.
"""

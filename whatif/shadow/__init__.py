"""A candidate policy beside the live one: follows the ledger, simulates what it would do, and compares afterwards.

What it would have done goes to the topic `shadow`; no scheduler reads that topic.
"""

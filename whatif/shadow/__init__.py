"""A candidate policy beside the live policy: a shadow follows the ledger and simulates what the candidate would do.

What it would have done goes to the topic `shadow`, which no scheduler reads. `comparison` reads the topic back and puts
the candidate's waits beside the pool's.
"""

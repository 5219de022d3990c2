"""Where records that others wrote come in: each is taken, or refused with a sentence and set aside in `quarantine`.

A record that is taken is written to `jobs` or handed to `streams.ledger`. Nothing here decides who goes next.
"""

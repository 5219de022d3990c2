"""Reading one pool's ledger: from Kafka, a file or a snapshot on, record by record, and what is damaged in it.

Everything else in `audit` and `whatif` reads a ledger through this folder.
"""

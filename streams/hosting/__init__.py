"""How records of Kafka reach us through Faust: assignment, fetching, gaps, positions, bounded inboxes.

Only this folder knows Faust and aiokafka. It knows nothing of jobs, pools or ledgers.
"""

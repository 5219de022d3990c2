"""How Kafka's records reach us through Faust: assignment, fetching, gaps, positions, bounded inboxes.

This folder alone knows Faust and aiokafka, and knows nothing of jobs, pools or ledgers.
"""

"""Where things are: settings, Kafka, Postgres, the object store, logs and metrics, shutdown.

Here live thin adapters over the servers and libraries that every process uses, each library with one owner (boto3
only in object_store, confluent-kafka only in kafka). Nothing here knows what a job is or decides anything: a change
of a decision is an event, so no rule of ours may depend on a setting. Imports contract only.
"""

"""Where things are: settings, Kafka, Postgres, the object store, logs and metrics, shutdown.

Here are thin adapters over the servers and libraries that every process uses. Each library has one owner: boto3 is
imported only in object_store, confluent-kafka only in the kafka modules. Nothing here knows what a job is or decides
anything: a change of a decision is an event, so no rule of ours may depend on a setting. `worker/` has what every kind
of node is made of. Imports contract only.
"""

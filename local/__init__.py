"""The embedded stack: Kafka, Postgres, S3 and every process of ours from one command, on one machine, without docker.

Here live the three servers (services: what tests need), the supervised whole (stack, supervisor: what `headrace up`
runs) and where their programs come from (jars). Nothing here is needed in production, where the servers are someone
else's and an orchestrator starts the processes: no other folder but cli may import this one. Linux only.
"""

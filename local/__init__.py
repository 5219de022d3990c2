"""The embedded stack: Kafka, Postgres, S3 and every process of ours from one command, on one machine, without docker.

Here live the three servers (services: what tests need), the supervised whole (stack, supervisor: what `headrace up`
runs), the Java that runs two of the servers (java), and their jars (jars). Production needs none of this:
there others run the servers, and an orchestrator starts the processes. So only cli may import this folder. Linux only.
"""

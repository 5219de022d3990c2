"""The jars of Kafka and of the S3 server: which they are, where they come from, and where they are kept.

`kafka/` and `s3proxy/` each hold a pom.xml (what is wanted) and a jars.lock (every jar that Maven chooses for the pom,
by sha256). Only the locks are read here. `make lock-jars` makes the locks anew after a pom changed, and needs Maven.
"""

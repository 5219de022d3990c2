"""Which code and weights a model name means, in which pool it runs, and who may ask.

Here live model directories and their manifests, immutable versions, the check of values by a version's schemas
(`schemas`), aliases with their history, the relay that tells the schedulers, policies and pools, API keys, and the
depot that brings a version to a node. Postgres rows are the commit point; blobs are content-addressed in the object
store. Nothing here decides when a job runs, and nothing here imports a model's code or opens a pickle: what a version
contains is checked as bytes, and only the node's child process ever runs it.
"""

"""Where models run: the agent of a GPU node, and the child processes in which a model's code runs.

`agent` joins a cluster, takes orders and carries out what `rules/` (pure) answers; `child/` runs models; `io/` fetches
versions and inputs and stores results. What every kind of node is made of lives in `runtime/worker/`.
What must not be here: torch (only a version's own environment has it), SQL, and any decision about who goes next.
The model's code is not trusted: it gets no credential, and nothing that it says or prints reaches a log.
"""

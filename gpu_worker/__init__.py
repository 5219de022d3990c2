"""Where models run: the agent of a GPU node, and the child processes in which a model's code runs.

`agent` joins a cluster and takes orders; `rules/` (pure) says what follows from an order; `held_attempts` carries that
out; `child/` runs models; `io/` fetches versions and inputs and stores results. What every kind of node is made of is
in `runtime/worker/`. What must not be here: torch (only a version's own environment has torch), SQL, and any decision
about who goes next. The model's code is not trusted: it gets no credential, and nothing that it says or prints reaches
a log.
"""

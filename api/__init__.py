"""HTTP: the `/v1` interface for tenants and operators. Run by `python -m api`.

Here live the routes and what a process needs to answer them (`resources`). What a job is belongs to contract, the
queries belong to views.queries, and who may ask belongs to registry.keys. A request is checked completely before
anything is written, so the scheduler can read whatever this folder writes to `jobs`. Answers come from the views. A
submission is answered 202 only after the broker has acknowledged it. Every error is a problem (RFC 9457) that says what
was expected, what was found and what to do. No stack trace reaches a user, and no word of a user reaches a log.
"""

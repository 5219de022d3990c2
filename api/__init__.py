"""HTTP: the `/v1` interface for tenants and operators. Run by `python -m api`.

Here live the routes and what a process needs to answer them (`resources`); not what a job is (contract), not what is read
(views.queries) nor who may ask (registry.keys). A request is checked completely before anything is written: whatever
this folder writes to `jobs` the scheduler can read. Answers come from the views; a submission is answered 202 only once
the broker has acknowledged it. Every error is a problem (RFC 9457) that says what was expected, what was found and what
to do; no stack trace reaches a user and no word of a user reaches a log.
"""

"""What can be asked: Postgres read models (schema `views`) folded from the ledger, and the queries on them.

`fold` (of `job_fold`, its events in `job_draft`, and `pool_fold`) applies ledger batches to rows in memory, purely;
`columns` says what a column holds, so that a job which no row can show is set aside by itself; `projection` loads and
stores the rows in the transaction that also keeps the pool's position in its ledger, and `refusals` finds what the
database does not take all the same; `words` says each event in a sentence, `moments` each time and duration;
`receipts` keeps what the api acknowledged before the ledger names it; `queries` reads.

Nothing here decides anything: a pool's views may be dropped and folded again from its ledger's first record
(`projection.forget`). Every query that a tenant can cause takes the tenant and filters by it, so another tenant's job
is the same as no job.
"""

"""What can be asked: Postgres read models (schema `views`) folded from the ledger, and the queries on them.

`fold` (made of `job_fold`, which applies events in `job_draft`, and `pool_fold`) applies ledger batches to rows in
memory, purely. `columns` says what a column holds, so that a job which no row can show is set aside, and no other job.
`projection` loads and stores the rows in the transaction that also stores the pool's position in its ledger. `refusals`
finds rows that the database refuses all the same. `words` says each event in a sentence, `moments` each time and
duration. `receipts` keeps what the api acknowledged before the ledger names it. `queries` reads.

Nothing here decides anything: the views of a pool may be dropped and folded again from the first record of its ledger
(`projection.forget`). Every query that a tenant can cause takes the tenant and filters by it, so the job of another
tenant is the same as no job.
"""

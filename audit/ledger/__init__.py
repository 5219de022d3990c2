"""Reading one pool's ledger record by record, from Kafka or a file, and finding what is damaged in it.

`reader` gives records, `past` says where a pool's past lies, `walk` folds it into states. Everything else in `audit`
and `whatif` reads a ledger through this folder."""

from __future__ import annotations

import os

from celery import Celery
from stamp import stamp as note_start

app = Celery("bench", broker=os.environ["BENCH_REDIS"])
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True


stamp = app.task(name="stamp")(note_start)

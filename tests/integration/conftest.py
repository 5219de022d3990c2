"""Servers of ours run in threads of the test process here, and log while pytest exchanges sys.stdout.

Python 3.11's `print` may then write to an object that is gone, which ends the process (seen once). So the logs go to
the file descriptor, which pytest captures as well.
"""

from __future__ import annotations

import structlog

STDOUT = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115 - as long as the process

structlog.configure(logger_factory=structlog.WriteLoggerFactory(STDOUT))

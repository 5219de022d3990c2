"""The same no-op job in Celery, Dramatiq and arq on Redis: each file is one peer's own application."""

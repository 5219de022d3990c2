"""GET /: a page for whoever opens the address in a browser."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.openapi import OPERATIONS

_ROWS = "\n".join(
    f"<tr><td><code>{operation.method.upper()}</code></td><td><code>{escape(operation.path)}</code></td>"
    f"<td>{escape(operation.summary)}</td></tr>"
    for operation in OPERATIONS
)
PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Headrace</title></head>
<body><h1>Headrace</h1>
<p>This is the API. Send your key as <code>Authorization: Bearer hr_…</code>;
<a href="/openapi.json">/openapi.json</a> describes every path,
<a href="/readyz">/readyz</a> says whether it is ready.</p>
<table>
{_ROWS}
</table></body></html>
"""


async def index(request: Request) -> Response:
    return HTMLResponse(PAGE)

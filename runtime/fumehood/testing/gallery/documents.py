"""The documents in which guests ask for requests, for rows to fill in."""

from __future__ import annotations

import json


def get(url: str, *, method: str = "GET", **extra: object) -> str:
    """A request of `extism:host/env` `http_request` (extism-abi.md §3.5)."""
    return json.dumps({"url": url, "method": method, **extra})


def wire(uri: str, *, method: str = "GET", **headers: str) -> str:
    """A request of `qmt_http_request` (provider-abi.md §3.1), without a body."""
    head = {"method": method, "uri": uri, "headers": headers, "version": "HTTP/1.1"}
    return json.dumps({"req": {"head": head, "body": []}})


def around_key(request: str) -> dict[str, str]:
    """`request` for the guest `provider`, which puts its key in the place of `KEY`."""
    prefix, _, suffix = request.partition("KEY")
    return {"prefix": prefix, "suffix": suffix}

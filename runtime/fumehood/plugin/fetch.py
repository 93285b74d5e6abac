"""Gets the modules that a manifest names by URL (extism-abi.md §3.2), through egress."""

from __future__ import annotations

from typing import Final

from fumehood.abi.http import HTTPRequest
from fumehood.egress.client import Client
from fumehood.egress.policy import Grant
from fumehood.egress.url import URLError, parse_url
from fumehood.errors import LoadError, ManifestError
from fumehood.limits import Limits
from fumehood.meter import Meter
from fumehood.plugin.manifest import ModuleSource

REDIRECTS: Final = 10
DEADLINE: Final = 60.0
"""Seconds for one module, redirects included."""


class UrlFetch:
    """A `Fetch`: one GET, redirects followed, a cap on bytes and a deadline.

    The manifest's author chose the host, so it may be any public one, and so may those it
    redirects to; an address that is not public must stand in the URL itself. `allowed_hosts` is
    about what the guest may reach and does not count here.
    """

    def __init__(self, client: Client, *, deadline: float = DEADLINE) -> None:
        self._client = client
        self._deadline = deadline

    def __call__(self, source: ModuleSource, cap: int) -> bytes:
        """The body. Raises ManifestError for what is no URL, LoadError for a status other than
        200, and what `Client.send` raises, TooMuch for more than `cap` bytes among it."""
        where = f"{source.where}.url"
        try:
            url = parse_url(source.url or "")
        except URLError as problem:
            raise ManifestError(f"{where}: {problem}") from problem
        limits = Limits(deadline=self._deadline, response_bytes=cap, http_requests=REDIRECTS + 1)
        meter = Meter(limits, plugin=where, operation="fetch")
        request = HTTPRequest(source.method.upper(), source.url or "", source.headers)
        grant = Grant.extism([url.host, "*"])
        response = self._client.send(request, grant, meter, follow=REDIRECTS)
        if response.status != 200:
            raise LoadError(f"{where}: {url.host} answered {response.status}, no module")
        return response.body

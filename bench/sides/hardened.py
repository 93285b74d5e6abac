"""One chat on the stub, with the hardening and without it, in turn, in one process."""

from __future__ import annotations

import operator
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.sides.documents import KEY, QUESTION
from bench.sides.full import MODEL
from bench.sides.side import Job, Side
from bench.stub import TEXT

BARE: Final = "bare"
VARIANTS: Final = ("everything on", "without the audit", BARE)


class Bare:
    """An HTTP client that decides nothing: what the guest asks for is handed to httpcore.

    No egress decision, no check of addresses, no substitution, no deadline, no bound on the reply,
    no scrubbing, no line for the receipt.
    """

    def __init__(self) -> None:
        import httpcore

        from fumehood.abi.http import HTTPResponse

        self._pool = httpcore.ConnectionPool()
        self._response = HTTPResponse

    def send(self, request: Any, _grant: Any, _meter: Any, *, secrets: Any) -> Any:
        """One exchange."""
        reply = self._pool.request(
            request.method, request.uri, headers=list(request.headers), content=request.body
        )
        headers = tuple((name.decode(), value.decode()) for name, value in reply.headers)
        return self._response(reply.status, headers, reply.content)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


class Chats(Side):
    """Provider calls with different parts of the hardening."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/"

    def imported(self) -> None:
        from fumehood.egress.secrets import NO_SECRETS
        from fumehood.limits import Limits
        from fumehood.provider import Provider
        from fumehood.provider.audit import Audit, Settings

        self._class, self._limits, self._no_secrets = Provider, Limits, NO_SECRETS
        self._audit: Callable[[Path], Audit] = lambda path: Audit(Settings(path))

    def _open(self, **how: Any) -> Any:
        config = {"base_url": self._url, "model": MODEL, "api_key": KEY}
        return self._class.open("bundled:openai", config=config, **how)

    def _variants(self, folder: Path) -> dict[str, Any]:
        everything, quiet = self._open(), self._open()
        everything._audit = self._audit(folder / "audit.jsonl")
        bare = self._open(limits=self._limits(fuel=None))
        host = bare._opened.host
        host.client, host.secrets = Bare(), self._no_secrets
        return dict(zip(VARIANTS, (everything, quiet, bare), strict=True))

    def turns(self, calls: int) -> Job:
        """So many chats of each variant, one after the other in turn; medians by variant, and of
        what each took longer than the bare one of its turn."""
        folder = tempfile.TemporaryDirectory()
        self._folder = folder  # lives as long as the side
        providers = self._variants(Path(folder.name))

        def job() -> dict[str, Any]:
            walls: dict[str, list[float]] = {name: [] for name in providers}
            cpus: dict[str, list[float]] = {name: [] for name in providers}
            for turn in range(calls):
                names = list(providers)
                for name in names if turn % 2 else names[::-1]:
                    chat = providers[name].chat
                    wall, cpu = time.perf_counter(), time.process_time()
                    text = chat(QUESTION).text
                    walls[name].append(time.perf_counter() - wall)
                    cpus[name].append(time.process_time() - cpu)
                    if text != TEXT:
                        raise RuntimeError(f"{name} answered {text!r}")
            return {
                name: {
                    "wall": statistics.median(walls[name]),
                    "cpu": statistics.median(cpus[name]),
                    "cost": statistics.median(map(operator.sub, walls[name], walls[BARE])),
                }
                for name in providers
            }

        return job

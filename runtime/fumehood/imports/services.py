"""What one plugin instance may reach through its imports, and what they remember for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fumehood.imports.log import PluginLog
from fumehood.imports.vars import VarStore
from fumehood.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from fumehood.egress.client import Client, ResponseStream
    from fumehood.egress.policy import Grant
    from fumehood.egress.secrets import Secrets
    from fumehood.errors import Error
    from fumehood.meter import Meter


@dataclass
class Services:
    """Given to an instance when it is made; read by the host functions of this room.

    Without `client` and `grant` there is no network. `config` and `vars` outlive instances,
    the rest belongs to one. `on_chunk` receives what `qmt_yield_chunk` is given and answers
    whether anybody still listens.
    """

    name: str = "plugin"
    config: Mapping[str, str] = field(default_factory=dict)
    vars: VarStore = field(default_factory=lambda: VarStore(DEFAULT_LIMITS.var_bytes))
    log: PluginLog = field(default_factory=lambda: PluginLog("plugin"))
    client: Client | None = None
    grant: Grant | None = None
    secrets: Secrets | None = None
    follow: int = 0
    """Redirects that `http_request` follows; the Extism face sets 10, providers none."""
    response_headers: bool = True
    on_chunk: Callable[[bytes], bool] | None = None
    clock_step: int = 1
    """Nanoseconds that clocks are rounded down to; more than 1 makes timing attacks coarser."""

    http_status: int = 0
    http_headers: tuple[tuple[str, str], ...] = ()
    streams: dict[int, ResponseStream] = field(default_factory=dict)
    finished_streams: set[int] = field(default_factory=set)
    last_stream: int = 0
    opener: Meter | None = None
    """The operation that opened `streams`; the next one that opens any closes what it left."""
    failure: Error | None = None
    """The last failure that an import told the guest instead of raising it: the guest may wrap
    it in words of its own, the caller wants the original (provider-abi.md hazards 12, 20)."""

    def write_log(self, meter: Meter, level: int, data: bytes, target: str | None = None) -> None:
        """One log message of the guest's, its secrets scrubbed, within the meter's budget."""
        if self.secrets:
            data = self.secrets.scrub(data)
        self.log.write(meter, level, data, target)

    def forked(self) -> None:
        """This is the child of a fork, and a thread that is gone was using them."""
        self.vars.forked()

    def close(self) -> None:
        """Close the streams that the guest left open. Idempotent."""
        self.finished_streams.clear()
        while self.streams:
            try:
                _, stream = self.streams.popitem()
            except KeyError:  # another thread closes them too
                return
            stream.close()

"""The exceptions of fumehood. Nothing else leaves the public API, whatever a guest does.

    Error
    ├─ UsageError            the caller's mistake
    │  ├─ ConfigError        plugins.toml, or a plugin's config against its schema
    │  ├─ ManifestError      an Extism manifest
    │  ├─ ReentryError       a sandbox called from inside its own host function
    │  └─ ClosedError        used after close()
    ├─ GuestError            the plugin's doing
    │  ├─ LoadError          not Wasm, invalid, or it needs something that is refused
    │  ├─ PluginError        the guest reported a failure
    │  ├─ ProtocolError      an answer that the ABI does not allow
    │  ├─ Trap               the guest trapped
    │  ├─ Exit               the guest called proc_exit with a non-zero status
    │  ├─ LimitError         a field of Limits was reached
    │  │  ├─ Timeout
    │  │  ├─ OutOfFuel
    │  │  ├─ OutOfMemory
    │  │  └─ TooMuch         bytes, lines, requests, calls
    │  └─ EgressDenied       a request that the operator did not grant
    ├─ HostError             the world
    │  ├─ HostFunctionError  __cause__ is what the function raised
    │  ├─ TransportError     the network
    │  └─ CacheError         the folder of compiled modules
    ├─ ProviderError         what the remote API answered
    └─ Cancelled             the caller stopped it

`KeyboardInterrupt` is not in the tree: it stops the guest and reaches the caller as itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from fumehood.limits import Receipt

GUEST_TEXT_CAP: Final = 16 * 1024
"""Characters of guest text that an error keeps; a guest cannot grow our messages without end."""


def clip(text: str, cap: int = GUEST_TEXT_CAP) -> str:
    """`text`, cut to `cap` characters with a mark that says how many are missing."""
    if len(text) <= cap:
        return text
    return f"{text[:cap]}… ({len(text) - cap} more characters)"


def printable(text: str) -> str:
    """`text` with lone surrogates escaped: Python has such strings, no file and no terminal takes
    them, and an error must not fail where it is shown."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


class Error(Exception):
    """Every failure that fumehood reports.

    `message` says what happened; `plugin` names the plugin; `hint` says what to do about it.
    `code` is a stable identifier. `receipt` is set on errors raised by a call. `guest_error` is
    text that the guest left behind: attacker data, decoded with replacement and capped, never
    taken for the cause.
    """

    code: ClassVar[str] = "error"

    def __init__(
        self, message: str = "", *, plugin: str | None = None, hint: str | None = None
    ) -> None:
        message = printable(message)
        super().__init__(message)
        self.message = message
        self.plugin = plugin
        self.hint = hint
        self.receipt: Receipt | None = None
        self.guest_error: str | None = None

    def __str__(self) -> str:
        text = self.message or self.code
        if self.plugin:
            text = f"{self.plugin}: {text}"
        if self.hint:
            text = f"{text} ({self.hint})"
        return printable(text)


class UsageError(Error):
    """The caller's mistake."""

    code = "usage"


class ConfigError(UsageError):
    """plugins.toml, or a plugin's config against its JSON Schema.

    `problems` lists every one as (key path, message).
    """

    code = "config"

    def __init__(
        self,
        message: str = "",
        *,
        problems: Sequence[tuple[str, str]] = (),
        plugin: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, plugin=plugin, hint=hint)
        self.problems: list[tuple[str, str]] = list(problems)


class ManifestError(UsageError):
    """An Extism manifest that cannot be used; the message names the key path."""

    code = "manifest"


class ReentryError(UsageError):
    """A sandbox was called from inside one of its own host functions.

    It is raised there, by the call inside the host function. Where that function lets it pass, the
    outer call raises HostFunctionError, as for anything a host function raises, with this as its
    `__cause__`.
    """

    code = "reentry"


class ClosedError(UsageError):
    """The object was closed before this use."""

    code = "closed"


class GuestError(Error):
    """The plugin's doing."""

    code = "guest"


class LoadError(GuestError):
    """Not Wasm, invalid, an import or proposal that is refused, or too costly to compile."""

    code = "load"


class PluginError(GuestError):
    """The guest reported a failure. `rc` is the export's return code."""

    code = "plugin"

    def __init__(
        self, message: str = "", *, rc: int = 1, plugin: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, plugin=plugin, hint=hint)
        self.rc = rc


class ProtocolError(GuestError):
    """The guest gave an answer that the ABI does not allow."""

    code = "protocol"


class Trap(GuestError):
    """The guest trapped. `reason` is a short stable word, `backtrace` the Wasm frames."""

    code = "trap"

    def __init__(
        self,
        message: str = "",
        *,
        reason: str = "trap",
        backtrace: Sequence[str] = (),
        plugin: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, plugin=plugin, hint=hint)
        self.reason = reason
        self.backtrace: list[str] = list(backtrace)


class Exit(GuestError):
    """The guest called `proc_exit` with a non-zero `status`."""

    code = "exit"

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 1,
        plugin: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, plugin=plugin, hint=hint)
        self.status = status


class LimitError(GuestError):
    """A limit was reached; `limit` is the field of `Limits`."""

    code = "limit"

    def __init__(
        self,
        message: str = "",
        *,
        limit: str = "",
        plugin: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, plugin=plugin, hint=hint)
        self.limit = limit


class Timeout(LimitError):
    """`deadline` or `guest_time` passed."""

    code = "timeout"


class OutOfFuel(LimitError):
    """The fuel of the operation is used up."""

    code = "fuel"


class OutOfMemory(LimitError):
    """A memory limit was reached.

    `inferred` is true where no refusal was seen, only a trap close to the limit.
    """

    code = "memory"

    def __init__(
        self,
        message: str = "",
        *,
        limit: str = "memory",
        inferred: bool = False,
        plugin: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, limit=limit, plugin=plugin, hint=hint)
        self.inferred = inferred


class TooMuch(LimitError):
    """Too many bytes, lines, requests or calls."""

    code = "too_much"


class EgressDenied(GuestError):
    """The guest asked for a request that the operator did not grant.

    `reason` is a stable word, `host` what was asked for, `hint` the line of plugins.toml that
    would grant it, where one may.
    """

    code = "egress_denied"

    def __init__(
        self,
        message: str = "",
        *,
        reason: str = "host",
        host: str | None = None,
        plugin: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, plugin=plugin, hint=hint)
        self.reason = reason
        self.host = host


class HostError(Error):
    """The world around the plugin failed."""

    code = "host"


class HostFunctionError(HostError):
    """A host function raised; `__cause__` is what it raised."""

    code = "host_function"


class TransportError(HostError):
    """The network. `kind` is one of dns connect tls timeout reset protocol."""

    code = "transport"

    def __init__(
        self,
        message: str = "",
        *,
        kind: str = "protocol",
        plugin: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, plugin=plugin, hint=hint)
        self.kind = kind


class CacheError(HostError):
    """The cache of compiled modules cannot be used."""

    code = "cache"


class ProviderError(Error):
    """What the remote API answered, as the plugin or the status tables classify it.

    `kind` is the kind of a `provider_error` payload where it has one, else the payload's type
    (provider-abi.md §5.2); `raw` is the payload as decoded. `retry_after` is in seconds.
    """

    code = "provider"

    def __init__(
        self,
        message: str = "",
        *,
        kind: str = "provider_error",
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        request_id: str | None = None,
        raw: object = None,
        plugin: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, plugin=plugin, hint=hint)
        self.kind = kind
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after
        self.request_id = request_id
        self.raw = raw

    @property
    def rate_limited(self) -> bool:
        """True for every form a rate limit takes (provider-abi.md §5.2)."""
        return self.kind == "rate_limited" or self.status == 429


class Cancelled(Error):
    """The caller cancelled the operation."""

    code = "cancelled"

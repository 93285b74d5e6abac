"""`ProviderError`: what went wrong, in the structured form that crosses the boundary (provider-abi.md §5.2)."""

from __future__ import annotations

from typing import Any, Final, Literal

Kind = Literal[
    "server_overloaded",
    "rate_limited",
    "quota_exceeded",
    "context_window_exceeded",
    "authentication",
    "invalid_request",
    "unsupported_operation",
    "unknown_transient",
    "unknown_permanent",
]
"""How a provider's refusal is to be understood. Hosts retry the overloaded, the rate-limited and the transient one."""

SHOWN: Final = 2048
"""Bytes of a reply that an error about it shows."""


class ProviderError(Exception):
    """The remote API refused, or answered what it should not; raise it from any method.

    `ProviderError("text", kind="rate_limited", retry_after=12)` is the usual form; the class methods make the others.
    Fields that are None are not written. Everything else that is raised in a plugin reaches the host as a failure of
    the plugin, with its traceback.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: Kind | None = None,
        code: str | None = None,
        error_type: str | None = None,
        request_id: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        fields: dict[str, Any] = {
            "kind": kind,
            "code": code,
            "error_type": error_type,
            "request_id": request_id,
            "retry_after_secs": retry_after,
        }
        self.payload: dict[str, Any] = {"type": "provider_error", "message": message or "no message"}
        self.payload.update((key, value) for key, value in fields.items() if value is not None)

    @property
    def message(self) -> str:
        """The text for a person."""
        return str(self.payload.get("message", self.payload["type"]))

    @property
    def type(self) -> str:
        """The payload's type, `provider_error` unless a class method made it."""
        return str(self.payload["type"])

    @classmethod
    def _of(cls, kind: str, message: str | None, /, **fields: Any) -> ProviderError:
        error = cls(message or kind)
        error.payload = {"type": kind, **({} if message is None else {"message": message}), **fields}
        return error

    @classmethod
    def auth(cls, message: str) -> ProviderError:
        """The key is missing or was not accepted."""
        return cls._of("auth_error", message)

    @classmethod
    def invalid_request(cls, message: str) -> ProviderError:
        """What was asked cannot be asked so."""
        return cls._of("invalid_request", message)

    @classmethod
    def invalid_url(cls, message: str) -> ProviderError:
        """An address could not be read."""
        return cls._of("invalid_url", message)

    @classmethod
    def not_implemented(cls, message: str) -> ProviderError:
        """This provider cannot do that."""
        return cls._of("not_implemented", message)

    @classmethod
    def tool_config(cls, message: str) -> ProviderError:
        """A tool definition is wrong."""
        return cls._of("tool_config_error", message)

    @classmethod
    def json_error(cls, message: str) -> ProviderError:
        """A document that came from the host could not be read; a wrong config is told so."""
        return cls._of("json_error", message)

    @classmethod
    def plugin_error(cls, message: str) -> ProviderError:
        """The plugin itself failed."""
        return cls._of("plugin_error", message)

    @classmethod
    def cancelled(cls) -> ProviderError:
        """The caller gave up."""
        return cls._of("cancelled", None)

    @classmethod
    def rate_limited(cls, message: str, retry_after: int | None = None) -> ProviderError:
        """Too many requests, told by the status alone."""
        return cls._of("rate_limited", message, retry_after_secs=retry_after)

    @classmethod
    def http_status(cls, status: int, message: str, retry_after: int | None = None) -> ProviderError:
        """A status that says nothing more."""
        return cls._of("http_status", None, status_code=status, message=message, retry_after_secs=retry_after)

    @classmethod
    def response_format(cls, message: str, body: bytes) -> ProviderError:
        """The reply is not what the API promises; the error shows its first 2 KiB."""
        raw = body[:SHOWN].decode("utf-8", "replace") + ("…" if len(body) > SHOWN else "")
        return cls._of("response_format_error", message, raw_response=raw)

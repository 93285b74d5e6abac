"""fumehood runs untrusted LLM-provider plugins, compiled to WebAssembly, inside a Python program.

The names below are the public API; they do not move. All but errors and limits are loaded when
they are first used: `import fumehood` loads neither the engine nor the HTTP client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from fumehood.errors import (
    CacheError,
    Cancelled,
    ClosedError,
    ConfigError,
    EgressDenied,
    Error,
    Exit,
    GuestError,
    HostError,
    HostFunctionError,
    LimitError,
    LoadError,
    ManifestError,
    OutOfFuel,
    OutOfMemory,
    PluginError,
    ProtocolError,
    ProviderError,
    ReentryError,
    Timeout,
    TooMuch,
    TransportError,
    Trap,
    UsageError,
)
from fumehood.limits import Exchange, Limits, Receipt

if TYPE_CHECKING:
    from fumehood.abi.messages import (
        Message,
        Tool,
        ToolCall,
        assistant,
        image,
        tool_result,
        user,
    )
    from fumehood.abi.replies import StreamChunk, Usage
    from fumehood.engine.pooling import pool_instances
    from fumehood.plugin import Plugin, host_function
    from fumehood.provider import (
        ChatResponse,
        ChatStream,
        Completion,
        Embeddings,
        Models,
        Provider,
        Registry,
        Speech,
        Transcription,
    )
    from fumehood.provider.aprovider import AsyncProvider
    from fumehood.provider.astream import AsyncChatStream
    from fumehood.provider.pool import Pool

__version__: str

__all__ = [
    "AsyncChatStream",
    "AsyncProvider",
    "CacheError",
    "Cancelled",
    "ChatResponse",
    "ChatStream",
    "ClosedError",
    "Completion",
    "ConfigError",
    "EgressDenied",
    "Embeddings",
    "Error",
    "Exchange",
    "Exit",
    "GuestError",
    "HostError",
    "HostFunctionError",
    "LimitError",
    "Limits",
    "LoadError",
    "ManifestError",
    "Message",
    "Models",
    "OutOfFuel",
    "OutOfMemory",
    "Plugin",
    "PluginError",
    "Pool",
    "ProtocolError",
    "Provider",
    "ProviderError",
    "Receipt",
    "ReentryError",
    "Registry",
    "Speech",
    "StreamChunk",
    "Timeout",
    "TooMuch",
    "Tool",
    "ToolCall",
    "Transcription",
    "TransportError",
    "Trap",
    "Usage",
    "UsageError",
    "__version__",
    "assistant",
    "host_function",
    "image",
    "pool_instances",
    "tool_result",
    "user",
]

_ROOMS: Final = {
    "fumehood.abi.messages": (
        "Message",
        "Tool",
        "ToolCall",
        "assistant",
        "image",
        "tool_result",
        "user",
    ),
    "fumehood.abi.replies": ("StreamChunk", "Usage"),
    "fumehood.engine.pooling": ("pool_instances",),
    "fumehood.plugin": ("Plugin", "host_function"),
    "fumehood.provider.aprovider": ("AsyncProvider",),
    "fumehood.provider.astream": ("AsyncChatStream",),
    "fumehood.provider.pool": ("Pool",),
    "fumehood.provider": (
        "ChatResponse",
        "ChatStream",
        "Completion",
        "Embeddings",
        "Models",
        "Provider",
        "Registry",
        "Speech",
        "Transcription",
    ),
}
_HOME: Final = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name on its first use."""
    if name == "__version__":
        from importlib.metadata import version  # 20 ms, for who asks

        value: Any = version("fumehood")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'fumehood' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))

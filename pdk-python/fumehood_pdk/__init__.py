"""Write an LLM-provider plugin in Python: one decorated class.

::

    from fumehood_pdk import ChatResponse, HTTPRequest, HTTPResponse, provider

    @provider(name="my-provider", api_key_name="MY_API_KEY")
    class MyProvider:
        api_key: str
        model: str
        base_url: str = "https://api.example.com/v1/"

        def chat_request(self, messages, tools) -> HTTPRequest: ...
        def parse_chat(self, response: HTTPResponse) -> ChatResponse: ...

`fumehood build my_provider.py -o my_provider.wasm` makes the plugin. It does no I/O of its own: it builds requests and
reads replies, the host sends them. This package needs nothing but the standard library; the builder needs the extra
`build`. The other modules meant for authors are `sse`, `status`, `urls` and `testing`.
"""

from fumehood_pdk._errors import ProviderError
from fumehood_pdk._http import Headers, HTTPRequest, HTTPResponse, bearer
from fumehood_pdk._messages import (
    PDF,
    Audio,
    Block,
    CacheHint,
    Image,
    ImageURL,
    Message,
    ResourceLink,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    join_text,
)
from fumehood_pdk._provider import provider
from fumehood_pdk._replies import (
    ChatResponse,
    CompletionRequest,
    FinishReason,
    StreamChunk,
    StreamParser,
    Tool,
    ToolCall,
    Usage,
)
from fumehood_pdk._schema import Limit
from fumehood_pdk._speech import Speech, SpeechRequest, TranscribeRequest, Voice

__all__ = [
    "PDF",
    "Audio",
    "Block",
    "CacheHint",
    "ChatResponse",
    "CompletionRequest",
    "FinishReason",
    "HTTPRequest",
    "HTTPResponse",
    "Headers",
    "Image",
    "ImageURL",
    "Limit",
    "Message",
    "ProviderError",
    "ResourceLink",
    "Speech",
    "SpeechRequest",
    "StreamChunk",
    "StreamParser",
    "Text",
    "Thinking",
    "Tool",
    "ToolCall",
    "ToolResult",
    "ToolUse",
    "TranscribeRequest",
    "Usage",
    "Voice",
    "bearer",
    "join_text",
    "provider",
]

"""A stub LLM endpoint on loopback: OpenAI, Anthropic and Ollama shapes, and every bad manner.

It is a stub and says so in its answers; it exists so that tests and the demo need no network.

    with StubServer() as stub:
        provider = Provider.open("bundled:openai", config={"base_url": stub.url, "model": "stub-1"})
"""

from fumehood.testing.stub.behaviours import BEHAVIOURS
from fumehood.testing.stub.replies import Reply, StubRequest
from fumehood.testing.stub.server import StubServer

__all__ = ["BEHAVIOURS", "Reply", "StubRequest", "StubServer"]

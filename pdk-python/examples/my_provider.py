"""A chat with streaming behind an endpoint that speaks OpenAI's API."""

import json

from fumehood_pdk import (
    ChatResponse,
    FinishReason,
    HTTPRequest,
    HTTPResponse,
    ProviderError,
    StreamChunk,
    bearer,
    provider,
    sse,
    urls,
)


@provider(name="my-provider", api_key_name="OPENAI_API_KEY")
class MyProvider:
    """What a user writes into plugins.toml; the JSON Schema follows from it."""

    model: str
    api_key: str = ""
    base_url: str = "https://api.openai.com/v1/"

    def chat_request(self, messages, tools) -> HTTPRequest:
        return self.ask(messages, stream=False)

    def parse_chat(self, response: HTTPResponse) -> ChatResponse:
        choice = response.json()["choices"][0]
        text = choice["message"]["content"]
        if text is None:
            raise ProviderError("the reply holds no text", kind="unknown_permanent")
        return ChatResponse(text=text, finish_reason=FinishReason.from_vendor(choice["finish_reason"]))

    def chat_stream_request(self, messages, tools) -> HTTPRequest:
        return self.ask(messages, stream=True)

    def chat_stream_parser(self) -> "Parser":
        return Parser()

    def list_models_request(self) -> HTTPRequest:
        return HTTPRequest.get(urls.join(self.base_url, "models"), bearer(self.api_key))

    def parse_list_models(self, response: HTTPResponse) -> list[str]:
        return [model["id"] for model in response.json()["data"]]

    def ask(self, messages, *, stream: bool) -> HTTPRequest:
        roles = {"User": "user", "Assistant": "assistant"}
        body = {
            "model": self.model,
            "messages": [{"role": roles[message.role], "content": message.text} for message in messages],
            "stream": stream,
        }
        return HTTPRequest.post_json(urls.join(self.base_url, "chat/completions"), body, bearer(self.api_key))


class Parser:
    """One stream; the host feeds it line by line."""

    def parse(self, line: bytes) -> list[StreamChunk]:
        data = sse.data_of(line)
        if data is None:
            return []
        if data == b"[DONE]":
            return [StreamChunk.done()]
        choices = json.loads(data)["choices"]
        text = choices[0]["delta"].get("content") if choices else None
        return [StreamChunk.text(text)] if text else []

    def finish(self) -> list[StreamChunk]:
        return []

"""Writes down and speaks: the one case where a plugin has the host send a request."""

import json

from fumehood_pdk import (
    ChatResponse,
    HTTPRequest,
    HTTPResponse,
    ProviderError,
    Speech,
    SpeechRequest,
    TranscribeRequest,
    provider,
    urls,
)


@provider(name="speaking")
class Speaking:
    base_url: str
    model: str = "stub-1"

    def chat_request(self, messages, tools) -> HTTPRequest:
        return HTTPRequest.get(self.base_url)

    def parse_chat(self, response: HTTPResponse) -> ChatResponse:
        return ChatResponse(response.text)

    def transcribe_request(self, request: TranscribeRequest) -> HTTPRequest:
        return HTTPRequest("POST", urls.join(self.base_url, "listen"), {}, request.audio)

    def parse_transcribe(self, response: HTTPResponse) -> str:
        return response.json()["text"]

    def speech_request(self, request: SpeechRequest) -> HTTPRequest:
        if request.voice is None:
            raise ProviderError.invalid_request("choose a voice")
        body = {"text": request.text, "voice": request.voice.name, "speed": request.speed}
        return HTTPRequest("POST", urls.join(self.base_url, "speak"), {}, json.dumps(body).encode())

    def parse_speech(self, response: HTTPResponse) -> Speech:
        return Speech(response.body, response.headers.get("content-type"))

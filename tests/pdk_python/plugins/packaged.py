# /// script
# requires-python = ">=3.11"
# dependencies = ["attrs", "msgpack"]
# ///
"""A provider whose API speaks MessagePack, with packages from pip and a module beside it."""

import attrs
import beside
import msgpack
from fumehood_pdk import ChatResponse, HTTPRequest, provider


@attrs.define
class Question:
    text: str = attrs.field(validator=attrs.validators.instance_of(str))
    more: int = 0


@provider(name="packaged")
class Packaged:
    model: str

    def chat_request(self, messages, tools):
        question = attrs.asdict(Question(messages[0].text, beside.NUMBER))
        return HTTPRequest("POST", "http://h/", {}, msgpack.packb(question))

    def parse_chat(self, response):
        return ChatResponse(msgpack.unpackb(response.body)["text"])

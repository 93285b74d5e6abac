"""The MessagePack codec, to be looked at from outside; in a plugin it is the interpreter's.

The user's text is a JSON list of documents in hexadecimal digits, or of Python expressions; the
request's body says what became of each.
"""

import json

from fumehood_pdk import ChatResponse, HTTPRequest, HTTPResponse, _host, provider


class Text(str):
    """Not exactly a str."""


def unpacked(document):
    value = _host.unpackb(bytes.fromhex(document))
    return {"value": ascii(value), "again": _host.packb(value, True).hex()}


def packed(expression):
    value = eval(expression)
    return {"strict": done(_host.packb, value), "binary": done(_host.packb, value, True)}


def done(work, *arguments):
    try:
        result = work(*arguments)
    except (ValueError, TypeError) as problem:
        return {"error": "ValueError" if isinstance(problem, ValueError) else "TypeError"}
    return result.hex() if isinstance(result, bytes) else result


@provider(name="codec")
class Codec:
    """Packs and unpacks."""

    def chat_request(self, messages, tools):
        work = unpacked if tools is None else packed
        asked = json.loads(messages[0].text)
        return HTTPRequest.post_json("http://h/", [done(work, item) for item in asked])

    def parse_chat(self, response: HTTPResponse) -> ChatResponse:
        return ChatResponse(response.text)

"""The provider in plain Python: no Wasm, no network. Run it with `python -m unittest`."""

import json
import unittest

from my_provider import MyProvider

from fumehood_pdk import HTTPResponse
from fumehood_pdk.testing import Failed, Plugin


class Tests(unittest.TestCase):
    def setUp(self) -> None:
        self.plugin = Plugin(MyProvider, model="m", api_key="k")

    def test_asks(self) -> None:
        request = self.plugin.chat_request("hi")
        self.assertEqual(request.url, "https://api.openai.com/v1/chat/completions")
        self.assertEqual(request.headers["authorization"], "Bearer k")
        self.assertEqual(json.loads(request.body)["messages"], [{"role": "user", "content": "hi"}])

    def test_understands(self) -> None:
        body = b'{"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}'
        self.assertEqual(self.plugin.parse_chat(HTTPResponse(200, body=body)).text, "hello")

    def test_streams(self) -> None:
        body = b'data: {"choices": [{"delta": {"content": "hel"}}]}\n\ndata: [DONE]\n'
        self.assertEqual([chunk.kind for chunk in self.plugin.stream(body)], ["text", "done"])

    def test_a_reply_that_is_none(self) -> None:
        with self.assertRaises(Failed) as caught:
            self.plugin.parse_chat(HTTPResponse(200, body=b"<html>"))
        self.assertEqual(caught.exception.type, "response_format_error")


if __name__ == "__main__":
    unittest.main()

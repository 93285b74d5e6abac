"""Streams: call orders, dropped streams, failures on the way (provider-abi.md §1.3, §7)."""

import gc
import json
import threading
import time
import weakref

import pytest

from fumehood.errors import (
    Cancelled,
    ClosedError,
    PluginError,
    ProtocolError,
    ProviderError,
    Timeout,
    TooMuch,
    TransportError,
    Trap,
    UsageError,
)
from fumehood.limits import Limits
from tests.provider.fakes import FakeClient, FakePlugin, direct, fail, provider, split

DONE = b'{"chunk":{"done":{"finish_reason":"%s"}}}\n'


def lines_of(plugin: FakePlugin) -> list[bytes]:
    return [bytes(data["chunk"]) for name, data in plugin.calls if name.endswith("parser_parse")]


# -- split mode ------------------------------------------------------------------------------


def test_one_line_a_call_then_one_newline_more_then_finish_and_close() -> None:
    plugin, client = split(), FakeClient((200, [b"a\r\n\r", b"\nb", b"c\nlast"]))
    with provider(plugin, client).chat_stream("hi", temperature=1) as stream:
        assert [chunk.text for chunk in stream] == ["a", "bc", "last", None]
    assert lines_of(plugin) == [b"a\r\n", b"\r\n", b"bc\n", b"last\n"]
    assert [name for name in plugin.names() if not name.endswith("parser_parse")] == [
        "from_config", "chat_stream_request", "chat_stream_parser_start",
        "chat_stream_parser_finish", "chat_stream_parser_close",
    ]  # fmt: skip
    assert plugin.input("chat_stream_parser_start") == {"model": "m", "temperature": 1}
    assert plugin.input("chat_stream_parser_finish") == 7
    assert client.streams[0].closed
    assert stream.response.text == "abclast"
    assert stream.response.finish_reason == "Stop"
    assert stream.receipt.operation == "chat_stream"
    assert stream.response.receipt == stream.receipt
    assert plugin.instances[0].closed


def test_a_body_that_ends_with_a_newline_gets_one_more() -> None:
    plugin = split()
    list(provider(plugin, FakeClient((200, [b"a\n"]))).chat_stream("hi"))
    assert lines_of(plugin) == [b"a\n", b"\n"]
    list(provider(plugin, FakeClient((200, []))).chat_stream("hi"))
    assert lines_of(plugin) == [b"\n"]


def test_done_does_not_end_a_stream_and_the_first_other_reason_counts() -> None:
    usage = b'{"chunk":{"usage":{"input_tokens":%d,"output_tokens":%d}}}\n'
    body = [DONE % b"Stop", DONE % b"ToolCalls", usage % (5, 1), DONE % b"Stop", usage % (3, 9)]
    plugin = split()
    stream = provider(plugin, FakeClient((200, body))).chat_stream("hi")
    assert [chunk.kind for chunk in stream] == ["done", "done", "usage", "done", "usage", "done"]
    assert stream.response.finish_reason == "ToolCalls"
    assert stream.response.usage is not None
    assert (stream.response.usage.input_tokens, stream.response.usage.output_tokens) == (5, 9)


def test_tool_calls_are_put_together() -> None:
    chunks = [
        {"tool_use_start": {"index": 1, "id": "c1", "name": "f"}},
        {"tool_use_input_delta": {"index": 1, "partial_json": '{"q"'}},
        {"tool_use_input_delta": {"index": 1, "partial_json": ":1}"}},
        {"tool_use_start": {"index": 0, "id": "c0", "name": "g"}},
        {"tool_use_complete": {"index": 1, "tool_call": {
            "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}}},
        {"tool_use_complete": {"index": 0, "tool_call": {
            "id": "c0", "type": "function", "function": {"name": "g", "arguments": '{"z":2}'}}}},
        {"thinking": "hm"}, {"thinking_signature": "sig"},
    ]  # fmt: skip
    body = [json.dumps({"chunk": chunk}).encode() + b"\n" for chunk in chunks]
    stream = provider(split(), FakeClient((200, body))).chat_stream("hi")
    list(stream)
    answer = stream.response
    assert [(call.id, call.name, call.parsed) for call in answer.tool_calls] == [
        ("c0", "g", {"z": 2}), ("c1", "f", {"q": 1}),
    ]  # fmt: skip
    assert (answer.text, answer.thinking, answer.thinking_signature) == (None, "hm", "sig")
    assert [type(block).__name__ for block in answer.message().content] == [
        "Thinking", "ToolUse", "ToolUse",
    ]  # fmt: skip


def test_a_refused_stream_is_read_whole_and_classified_without_a_parser() -> None:
    def classify(data: dict, _instance: object) -> object:
        body = bytes(data["resp"]["resp"]["body"]).decode()
        return {"payload": {"type": "rate_limited", "message": body, "retry_after_secs": 2}}

    plugin = split(classify_chat_error=classify)
    client = FakeClient((429, [b"slow ", b"down"]))
    with pytest.raises(ProviderError) as caught:
        provider(plugin, client).chat_stream("hi")
    assert (caught.value.message, caught.value.status) == ("slow down", 429)
    assert caught.value.rate_limited
    assert caught.value.receipt is not None
    assert "chat_stream_parser_start" not in plugin.names()
    assert client.streams[0].closed
    assert plugin.instances[0].closed


def test_a_refusal_that_breaks_off_is_still_that_refusal() -> None:
    client = FakeClient((401, [b"no", TransportError("gone", kind="reset")]))
    with pytest.raises(ProviderError) as caught:
        provider(split(), client).chat_stream("hi")
    assert (caught.value.kind, caught.value.message) == ("authentication", "no")


def test_a_parser_error_ends_the_stream() -> None:
    plugin, client = split(), FakeClient((200, [b"a\nboom\nb\n"]))
    stream = provider(plugin, client).chat_stream("hi")
    assert next(stream).text == "a"
    with pytest.raises(ProviderError) as caught:
        next(stream)
    assert caught.value.kind == "response_format_error"
    assert caught.value.receipt is not None
    assert list(stream) == []
    assert "chat_stream_parser_finish" not in plugin.names()
    assert client.streams[0].closed
    with pytest.raises(ClosedError):
        _ = stream.response


def test_a_transport_error_on_the_way_is_raised_without_a_finish() -> None:
    plugin = split()
    client = FakeClient((200, [b"a\nhalf", TransportError("gone", kind="reset")]))
    stream = provider(plugin, client).chat_stream("hi")
    assert next(stream).text == "a"
    with pytest.raises(TransportError):
        next(stream)
    assert "chat_stream_parser_finish" not in plugin.names()
    assert b"half" not in b"".join(lines_of(plugin))


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_closed_stream_closes_socket_and_parser(after: int) -> None:
    plugin, client = split(), FakeClient((200, [b"a\nb\n", b"c\n"]))
    stream = provider(plugin, client).chat_stream("hi")
    for _ in range(after):
        next(stream)
    stream.close()
    stream.close()
    assert client.streams[0].closed
    assert plugin.names()[-1] == "chat_stream_parser_close"
    assert "chat_stream_parser_finish" not in plugin.names()
    assert plugin.instances[0].closed
    assert list(stream) == []
    assert stream.receipt.operation == "chat_stream"
    with pytest.raises(ClosedError):
        _ = stream.response


def test_a_dropped_stream_is_closed_when_it_is_collected() -> None:
    plugin, client = split(), FakeClient((200, [b"a\nb\n"]))
    one = provider(plugin, client)
    for _chunk in one.chat_stream("hi"):
        break
    gc.collect()
    assert client.streams[0].closed
    assert plugin.names()[-1] == "chat_stream_parser_close"
    assert not one._running


def test_there_is_no_response_before_the_end() -> None:
    stream = provider(split(), FakeClient((200, [b"a\n"]))).chat_stream("hi")
    with pytest.raises(UsageError):
        _ = stream.response
    stream.close()


def test_closing_the_provider_ends_its_streams() -> None:
    one = provider(split(), FakeClient((200, [b"a\n", b"b\n"])))
    stream = one.chat_stream("hi")
    next(stream)
    one.close()
    with pytest.raises(Cancelled):
        list(stream)


def test_missing_parser_exports_are_no_streaming() -> None:
    plugin = split()
    del plugin.functions["chat_stream_parser_close"]
    one = provider(plugin)
    assert "chat_stream" not in one.capabilities
    with pytest.raises(PluginError, match="chat_stream is not supported"):
        one.chat_stream("hi")
    refused = split(
        chat_stream_request=fail({"payload": {"type": "not_implemented", "message": "no"}})
    )
    with pytest.raises(ProviderError) as caught:
        provider(refused).chat_stream("hi")
    assert caught.value.kind == "not_implemented"


@pytest.mark.parametrize("answer", [b"", b"{}", b"[1]", b'[{"chunk":{}}]', b'[{"chunk":{"x":1}}]'])
def test_chunks_that_are_none(answer: bytes) -> None:
    plugin = split(chat_stream_parser_parse=lambda *_: answer)
    with pytest.raises(ProtocolError):
        list(provider(plugin, FakeClient((200, [b"a\n"]))).chat_stream("hi"))


def test_an_answer_without_end_is_bounded() -> None:
    plugin = split()
    one = provider(
        plugin, FakeClient((200, [b"x" * 100 + b"\n"] * 20)), limits=Limits(output_bytes=500)
    )
    with pytest.raises(TooMuch) as caught:
        list(one.chat_stream("hi"))
    assert caught.value.limit == "output_bytes"
    assert plugin.instances[0].closed


def test_a_stream_goes_back_to_its_kept_instance_and_leaves_no_parser() -> None:
    plugin = split()
    one = provider(plugin, FakeClient(*[(200, [b"a\nb\n"])] * 3), reuse=True)
    list(one.chat_stream("1"))
    stream = one.chat_stream("2")
    next(stream)
    stream.close()
    list(one.chat_stream("3"))
    assert len(plugin.instances) == 1
    assert plugin.instances[0].state["parsers"] == set()


# -- direct mode -----------------------------------------------------------------------------


def test_chunks_of_a_direct_stream() -> None:
    plugin = direct()
    stream = provider(plugin).chat_stream("hi")
    assert [chunk.text for chunk in stream] == ["a", "b", None]
    assert stream.response.finish_reason == "Stop"
    assert plugin.input("supports_streaming") == {"model": "m"}
    assert plugin.instances[0].closed


@pytest.mark.parametrize(
    "answer",
    [lambda *_: False, fail("x"), fail({"payload": {"type": "plugin_error", "message": "m"}})],
)
def test_no_streaming_where_the_plugin_says_so(answer: object) -> None:
    plugin = direct(supports_streaming=answer)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="chat_stream is not supported"):
        provider(plugin).chat_stream("hi")
    assert "chat_stream" not in plugin.names()


def test_a_stream_without_a_chunk() -> None:
    with pytest.raises(PluginError, match="ended before the first chunk"):
        provider(direct(chat_stream=lambda *_: None)).chat_stream("hi")


def test_failures_of_a_direct_stream() -> None:
    early = direct(chat_stream=fail({"kind": "Auth", "data": "no"}, 2))
    with pytest.raises(ProviderError) as caught:
        provider(early).chat_stream("hi")
    assert caught.value.kind == "auth_error"

    def late(_data: object, instance: object) -> None:
        instance.services.on_chunk(b'{"chunk":{"text":"a"}}')  # type: ignore[attr-defined]
        raise Trap("unreachable")

    stream = provider(direct(chat_stream=late)).chat_stream("hi")
    assert next(stream).text == "a"
    with pytest.raises(Trap, match="unreachable"):
        next(stream)

    garbage = direct(chat_stream=lambda _d, i: i.services.on_chunk(b"\xff"))
    with pytest.raises(ProtocolError):
        list(provider(garbage).chat_stream("hi"))


def test_a_slow_consumer_slows_the_guest_and_a_gone_one_stops_it() -> None:
    yielded: list[bool] = []
    ended = threading.Event()

    def endless(_data: object, instance: object) -> None:
        try:
            for _ in range(100_000):
                listening = instance.services.on_chunk(b'{"chunk":{"text":"x"}}')  # type: ignore[attr-defined]
                yielded.append(listening)
                if not listening:
                    break
        finally:
            ended.set()

    stream = provider(direct(chat_stream=endless)).chat_stream("hi")
    for _ in range(10):
        next(stream)
    assert len(yielded) < 100
    before = threading.active_count()
    stream.close()
    assert ended.wait(5)
    assert yielded.count(False) <= 1
    assert threading.active_count() < before


def test_the_deadline_ends_a_guest_whose_consumer_sleeps() -> None:
    def endless(_data: object, instance: object) -> None:
        while instance.services.on_chunk(b'{"chunk":{"text":"x"}}'):  # type: ignore[attr-defined]
            pass

    one = provider(direct(chat_stream=endless), limits=Limits(deadline=0.2))
    stream = one.chat_stream("hi")
    started = time.monotonic()
    worker = stream._session._worker
    assert worker is not None
    worker._thread.join(5)
    assert time.monotonic() - started < 2
    with pytest.raises(Timeout):
        list(stream)


def test_closing_the_provider_stops_a_direct_stream() -> None:
    def endless(_data: object, instance: object) -> None:
        while instance.services.on_chunk(b'{"chunk":{"text":"x"}}'):  # type: ignore[attr-defined]
            pass

    one = provider(direct(chat_stream=endless))
    stream = one.chat_stream("hi")
    next(stream)
    one.close()
    with pytest.raises(Cancelled):
        list(stream)


def test_many_streams_dropped_leave_nothing() -> None:
    threads = threading.active_count()
    plugins = [direct(), split()]
    instances: list[weakref.ref[object]] = []
    for number in range(60):
        plugin = plugins[number % 2]
        one = provider(plugin, FakeClient((200, [b"a\nb\n"])))
        stream = one.chat_stream("hi")
        for _ in range(number % 4):
            next(stream, None)
        if number % 3:
            stream.close()
        del stream
        instances += [weakref.ref(instance) for instance in plugin.instances]
        assert all(instance.closed for instance in plugin.instances)
        one.close()
        del one
    # a thread of an earlier test may have ended meanwhile
    assert threading.active_count() <= threads

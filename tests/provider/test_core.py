"""The operations: call orders and what every failure becomes (provider-abi.md §1.3, §5)."""

import pytest

from fumehood.abi import http
from fumehood.abi.http import HTTPRequest
from fumehood.abi.messages import image, user
from fumehood.abi.tools import Tool
from fumehood.egress.client import Client
from fumehood.errors import (
    Cancelled,
    ClosedError,
    EgressDenied,
    PluginError,
    ProtocolError,
    ProviderError,
    Timeout,
    TransportError,
    Trap,
)
from tests.provider.fakes import FakeClient, direct, fail, provider, split

ENV = [("extism:host/env", "http_request")]


# -- split mode ------------------------------------------------------------------------------


def test_chat_is_request_http_parse() -> None:
    plugin, client = split(), FakeClient((200, b"hello"))
    answer = provider(plugin, client).chat("hi", tools=[Tool("f")], temperature=0.5)
    assert answer.text == "hello"
    assert plugin.names() == ["from_config", "chat_request", "parse_chat_response"]
    asked = plugin.input("chat_request")
    assert asked["cfg"] == {"model": "m", "temperature": 0.5}
    assert asked["messages"] == [{"role": "User", "content": [{"type": "text", "text": "hi"}]}]
    assert asked["tools"][0]["function"]["name"] == "f"
    assert plugin.input("parse_chat_response")["cfg"] == asked["cfg"]
    assert client.requests[0].uri.endswith("/chat")
    assert answer.receipt.operation == "chat"
    assert answer.receipt.plugin == "fake"
    assert len(plugin.instances) == 1


def test_from_config_is_asked_once_for_each_config() -> None:
    plugin = split()
    one = provider(plugin, FakeClient(*[(200, b"x")] * 4))
    one.chat("a")  # the config of the entry was checked when it was opened
    one.chat("b", temperature=1)
    one.chat("c", temperature=1)
    one.chat("d")
    assert plugin.names().count("from_config") == 1


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (401, "authentication", False), (403, "authentication", False),
        (429, "rate_limited", True), (400, "invalid_request", False),
        (422, "invalid_request", False), (408, "unknown_transient", True),
        (500, "unknown_transient", True), (404, "unknown_permanent", False),
        (302, "unknown_permanent", False),
    ],
)  # fmt: skip
def test_a_refused_chat_goes_by_its_status_without_a_classifier(
    status: int, kind: str, retryable: bool
) -> None:
    plugin = split()
    one = provider(plugin, FakeClient((status, {"error": {"message": "no"}})))
    with pytest.raises(ProviderError) as caught:
        one.chat("hi")
    assert (caught.value.kind, caught.value.status, caught.value.retryable) == (
        kind, status, retryable,
    )  # fmt: skip
    assert caught.value.message == "no"
    assert caught.value.receipt is not None
    assert "parse_chat_response" not in plugin.names()


def test_status_499_is_cancelled() -> None:
    with pytest.raises(Cancelled):
        provider(split(), FakeClient((499, b""))).chat("hi")


def test_the_plugin_classifies_refused_chats_where_it_can() -> None:
    payload = {"type": "provider_error", "message": "full", "kind": "server_overloaded",
               "request_id": "r1", "retry_after_secs": 3}  # fmt: skip
    plugin = split(classify_chat_error=lambda *_: {"payload": payload})
    with pytest.raises(ProviderError) as caught:
        provider(plugin, FakeClient((529, b"x"))).chat("hi")
    error = caught.value
    assert (error.kind, error.status, error.retryable) == ("server_overloaded", 529, True)
    assert (error.request_id, error.retry_after, error.raw) == ("r1", 3.0, payload)
    assert plugin.input("classify_chat_error")["cfg"] == {"model": "m"}


@pytest.mark.parametrize(
    "broken",
    [
        fail("cannot"), lambda *_: b"\xff", lambda *_: b"{}", lambda *_: None,
        lambda *_: {"payload": {"type": "nonsense"}}, fail({"payload": {"type": "cancelled"}}),
    ],
)  # fmt: skip
def test_a_classifier_that_fails_does_not_hide_the_refusal(broken: object) -> None:
    plugin = split(classify_chat_error=broken)  # type: ignore[arg-type]
    with pytest.raises(ProviderError) as caught:
        provider(plugin, FakeClient((401, b""))).chat("hi")
    assert caught.value.kind == "authentication"
    assert caught.value.message == "HTTP 401"


def test_embed_and_complete_use_the_generic_table_and_not_the_guest() -> None:
    plugin = split(classify_chat_error=fail("never called"))
    one = provider(
        plugin, FakeClient((200, [[1, 2.5], [0, 1]]), (200, b""), (429, b""), (503, b""))
    )
    assert one.embed(["a", "b"]).vectors == [[1.0, 2.5], [0.0, 1.0]]
    assert plugin.input("embed_request")["inputs"] == ["a", "b"]
    assert one.complete("p", suffix="s", max_tokens=3).text == "done"
    assert plugin.input("complete_request")["req"] == {
        "prompt": "p", "suffix": "s", "max_tokens": 3, "temperature": None,
    }  # fmt: skip
    for operation, kind in ((lambda: one.embed("a"), "rate_limited"),
                            (lambda: one.complete("a"), "http_status")):  # fmt: skip
        with pytest.raises(ProviderError) as caught:
            operation()
        assert caught.value.kind == kind
    assert "classify_chat_error" not in plugin.names()


def test_the_number_of_vectors_must_fit() -> None:
    with pytest.raises(ProtocolError, match="1 vectors came back for 2"):
        provider(split(), FakeClient((200, [[1]]))).embed(["a", "b"])


@pytest.mark.parametrize("operation", ["embed", "complete"])
def test_a_panic_in_embed_or_complete_stays_a_trap_that_names_the_export(operation: str) -> None:
    def panic(*_: object) -> None:
        raise Trap("unreachable", reason="unreachable")

    plugin = split(**{f"{operation}_request": panic})
    with pytest.raises(Trap) as caught:
        getattr(provider(plugin), operation)("x")
    assert f"{operation}_request" in caught.value.message
    assert operation in (caught.value.hint or "")
    assert plugin.names().count(f"{operation}_request") == 1


def test_list_models_static_or_over_http() -> None:
    plugin = split(list_models_static=lambda *_: ["s1"])
    assert provider(plugin).list_models().names == ["s1"]
    assert plugin.names() == ["list_models_static"]
    for silent in (lambda *_: None, lambda *_: b"null", lambda *_: b" null "):
        plugin = split(list_models_static=silent)
        assert list(provider(plugin, FakeClient((200, ["m"]))).list_models()) == ["m"]
        assert plugin.input("list_models_request") == {"cfg": {"model": "m"}}
        assert "cfg" not in plugin.input("parse_list_models_response")
    broken = split(list_models_static=fail({"payload": {"type": "auth_error", "message": "no"}}))
    with pytest.raises(ProviderError) as caught:
        provider(broken).list_models()
    assert caught.value.kind == "auth_error"


def test_models_need_no_model() -> None:
    plugin = split()
    assert provider(plugin, FakeClient((200, [])), config={}).list_models().names == []
    assert plugin.names() == ["list_models_request", "parse_list_models_response"]


def test_transport_errors_pass_as_they_are() -> None:
    with pytest.raises(TransportError) as caught:
        provider(split(), FakeClient(TransportError("x", kind="dns"))).chat("hi")
    assert caught.value.kind == "dns"
    assert caught.value.plugin == "fake"
    assert caught.value.receipt is not None


@pytest.mark.parametrize(
    ("said", "rc", "kind"),
    [
        ({"payload": {"type": "invalid_request", "message": "m"}}, 1, "invalid_request"),
        ({"kind": "RateLimited", "data": {"message": "m", "retry_after_secs": 5}}, 4,
         "rate_limited"),
        ({"kind": "Auth", "data": "m"}, 1, "auth_error"),
        ('{"payload":{"type":"json_error","message":"m"}}\n\nStack backtrace:\n 0: x', 1,
         "json_error"),
        ({"payload": {"type": "not_implemented", "message": "m"}}, 1, "not_implemented"),
    ],
)  # fmt: skip
def test_structured_failures_of_a_guest(said: object, rc: int, kind: str) -> None:
    plugin = split(chat_request=fail(said, rc))  # type: ignore[arg-type]
    with pytest.raises(ProviderError) as caught:
        provider(plugin).chat("hi")
    assert caught.value.kind == kind
    assert caught.value.message == "m"
    assert "m" in (caught.value.guest_error or "")


def test_plain_text_failures_of_a_guest() -> None:
    payload = {"payload": {"type": "plugin_error", "message": "missing field"}}
    generic = {"kind": "Generic", "data": "missing field"}
    for said, rc in (("missing field", -1), (generic, 0), (payload, 1)):
        with pytest.raises(PluginError) as caught:
            provider(split(chat_request=fail(said, rc))).chat("hi")
        assert caught.value.message == "missing field"
        assert caught.value.rc == rc


@pytest.mark.parametrize(
    "output", [b"", b"{", b"null", b"[]", b'{"req":{}}', b"\xff", b"[" * 100_000]
)
def test_requests_that_are_none(output: bytes) -> None:
    with pytest.raises(ProtocolError):
        provider(split(chat_request=lambda *_: output)).chat("hi")


# -- direct mode -----------------------------------------------------------------------------


def test_direct_operations() -> None:
    plugin = direct()
    one = provider(plugin)
    assert one.chat("hi").text == "hi"
    assert one.embed("a").vectors == [[1.0, 0.5]]
    assert one.complete("p").text == "p!"
    assert one.list_models().names == ["m1"]
    assert plugin.input("list_models") == {"model": "m"}  # bare, not wrapped
    assert one.traits.generation == "B"


def test_generation_a_gets_the_old_messages_and_a_system_text() -> None:
    plugin = direct(ENV, chat=lambda data, _: {"text": data["messages"][0]["content"]})
    schema = {"properties": {"model": {}, "system": {"type": "string"}}}
    plugin.functions["config_schema"] = lambda *_: schema
    for newer in ("init_logging", "supports_streaming", "chat_stream"):
        del plugin.functions[newer]
    one = provider(plugin)
    assert one.traits.gen_a
    assert one.chat(["hello"], system=["a", "b"]).text == "hello"
    assert plugin.input("chat")["messages"][0]["message_type"] == "Text"
    assert plugin.input("chat")["cfg"]["system"] == "a\n\nb"
    blocks = provider(direct(ENV), generation="B")
    assert blocks.chat(user("x", image("https://x/y.png"))).text == "x"


def test_operations_that_a_plugin_lacks() -> None:
    plugin = direct()
    for name in ("chat", "embed", "complete", "list_models"):
        del plugin.functions[name]
    one = provider(plugin)
    assert one.capabilities == {"chat_stream"}
    for operation, args in (
        ("chat", "x"), ("embed", "x"), ("complete", "x"), ("transcribe", b""), ("speech", "x"),
    ):  # fmt: skip
        with pytest.raises(PluginError, match=f"does not export '{operation}'") as caught:
            getattr(one, operation)(args)
        assert caught.value.rc == -1
    with pytest.raises(PluginError, match="does not export 'list_models'"):
        one.list_models()


@pytest.mark.parametrize("make", [split, direct])
def test_speech_exports_are_called_in_both_modes(make: object) -> None:
    plugin = make(  # type: ignore[operator]
        transcribe=lambda data, _: {"text": data["filename"]},
        speech=lambda data, _: {"audio_base64": "AAE=", "mime_type": "audio/wav"},
    )
    one = provider(plugin)
    assert {"transcribe", "speech"} <= one.capabilities
    assert one.transcribe(b"RIFF", filename="a.wav", language="de").text == "a.wav"
    assert plugin.input("transcribe") == {
        "cfg": {"model": "m"}, "audio_base64": "UklGRg==", "filename": "a.wav", "language": "de",
    }  # fmt: skip
    spoken = one.speech("hi", voice="alloy", format="wav", speed=1.5)
    assert (spoken.audio, spoken.mime_type) == (b"\0\1", "audio/wav")
    assert plugin.input("speech")["voice_config"] == {"type": "preset", "name": "alloy"}


def test_the_original_failure_comes_before_the_guests_words_for_it() -> None:
    original = TransportError("no connection", kind="connect")

    def chat(_data: object, instance: object) -> None:
        instance.services.failure = original  # type: ignore[attr-defined]
        raise PluginError('{"kind":"Provider","data":"HTTP 500: something"}', rc=1)

    with pytest.raises(TransportError) as caught:
        provider(direct(chat=chat)).chat("hi")
    assert caught.value is original
    assert "HTTP 500" in (caught.value.guest_error or "")
    assert caught.value.receipt is not None


def test_a_failure_of_an_earlier_call_is_not_the_cause_of_a_later_one() -> None:
    def from_config(cfg: object, instance: object) -> object:
        instance.services.failure = TransportError("old")  # type: ignore[attr-defined]
        return cfg

    with pytest.raises(PluginError, match="mine"):
        provider(direct(from_config=from_config, chat=fail("mine"))).chat("hi", temperature=1)


# -- instances -------------------------------------------------------------------------------


def test_each_operation_gets_a_fresh_instance() -> None:
    plugin = split()
    one = provider(plugin, FakeClient(*[(200, b"x")] * 3))
    for _ in range(3):
        assert one.chat("hi").receipt.fresh
    assert len(plugin.instances) == 3
    assert all(instance.closed for instance in plugin.instances)


def test_reuse_keeps_one_until_it_fails() -> None:
    plugin = split()
    one = provider(
        plugin, FakeClient((200, b"x"), (200, b"x"), (500, b"x"), (200, b"x")), reuse=True
    )
    assert one.chat("a").receipt.fresh
    assert not one.chat("b").receipt.fresh
    assert len(plugin.instances) == 1
    with pytest.raises(ProviderError):
        one.chat("c")
    assert plugin.instances[0].closed
    one.chat("d")
    assert len(plugin.instances) == 2
    one.close()
    assert plugin.instances[1].closed


def test_reuse_does_not_wait_for_a_stream() -> None:
    plugin = split()
    one = provider(plugin, FakeClient((200, [b"a\n"]), (200, b"x")), reuse=True)
    with one.chat_stream("hi") as stream:
        assert one.chat("meanwhile").text == "x"
        assert [chunk.text for chunk in stream] == ["a", None]
    assert len(plugin.instances) == 2


def test_a_closed_provider() -> None:
    plugin, client = split(), FakeClient()
    one = provider(plugin, client)
    with one as same:
        assert same is one
    one.close()
    assert client.closed
    with pytest.raises(ClosedError):
        one.chat("hi")


def test_timeout_seconds_shortens_the_deadline() -> None:
    plugin = split(chat_request=lambda *_: b"x")
    plugin.functions["config_schema"] = lambda *_: {"properties": {"model": {}}}
    one = provider(plugin, config={"model": "m", "timeout_seconds": 1e-9})
    with pytest.raises(Timeout):
        one.chat("hi")


def test_a_secret_that_the_guest_was_given_is_scrubbed_from_its_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THE_JWT", "canary-0123456789")
    refusal = {"payload": {"type": "auth_error", "message": "bad key canary-0123456789"}}
    plugin = split(chat_request=fail(refusal))
    secrets = {
        "api_key": {"from": "env:THE_JWT", "slot": False, "hosts": ["https://api.example.com"]}
    }
    one = provider(plugin, secrets=secrets)
    with pytest.raises(ProviderError) as caught:
        one.chat("hi")
    assert plugin.input("chat_request")["cfg"]["api_key"] == "canary-0123456789"
    seen: BaseException | None = caught.value
    texts = [repr(caught.value.raw)]
    while seen is not None:
        texts += [str(seen), repr(seen), str(getattr(seen, "guest_error", ""))]
        seen = seen.__cause__ or seen.__context__
    assert "bad key" in texts[0]
    assert not [text for text in texts if "canary" in text]


def test_a_default_on_a_private_address_needs_one_line_and_the_error_prints_it() -> None:
    for url, line in (
        ("http://localhost:9/", 'allowed_hosts = ["localhost:9"]'),
        ("http://127.0.0.1:9/", 'allowed_hosts = ["127.0.0.1:9"]'),
    ):
        asked = http.encode_request(HTTPRequest("POST", url))
        plugin = split(base_url=lambda *_, u=url: u.encode(), chat_request=lambda *_, a=asked: a)
        with Client() as client:
            with pytest.raises(EgressDenied) as caught:
                provider(plugin, client).chat("hi")  # type: ignore[arg-type]
            assert caught.value.hint == line
            host = line.partition('"')[2].partition('"')[0]
            with pytest.raises(TransportError):  # granted now, but nobody listens there
                provider(plugin, client, allowed_hosts=[host]).chat("hi")  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [1, 1_000_000])
def test_clocks_are_as_coarse_as_the_operator_says(step: int) -> None:
    plugin = split()
    with provider(plugin, FakeClient((200, b"x")), clock_step=step) as one:
        one.chat("hi")
    assert plugin.instances[0].services.clock_step == step

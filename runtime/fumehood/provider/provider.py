"""`Provider`: a plugin as an LLM provider, synchronous (spec/api.md "Objects")."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from fumehood.abi import calls
from fumehood.abi import speech as speech_wire
from fumehood.abi.messages import Conversation, as_messages
from fumehood.abi.tools import Tool
from fumehood.errors import Cancelled, ClosedError, Error, ProviderError, UsageError
from fumehood.limits import Limits, Receipt
from fumehood.provider import core, streaming
from fumehood.provider.audit import Audit
from fumehood.provider.config import Config
from fumehood.provider.effects import Op
from fumehood.provider.opening import (
    Opened,
    Spec,
    check_config,
    load,
    make_client,
    open_plugin,
    traits_of,
)
from fumehood.provider.results import (
    ChatResponse,
    Completion,
    Embeddings,
    Models,
    Speech,
    Transcription,
)
from fumehood.provider.runtime import Client, Kept, Session
from fumehood.provider.stream import ChatStream
from fumehood.provider.traits import GenerationName, Traits

_T = TypeVar("_T")


class Provider:
    """One plugin with one configuration. Safe to use from several threads.

    Each operation gets a fresh instance of the plugin, so that nothing passes from one request to
    the next; with `reuse=True` an instance is kept and used by one operation after another (at
    the same time by none: an operation that finds it busy makes its own), until one fails.
    Operations return results with a `.receipt` and raise the errors of `fumehood.errors`, which
    have one as well. `close()` it, or use `with`.
    """

    def __init__(
        self,
        opened: Opened,
        client: Client | None,
        *,
        reuse: bool = False,
        audit: Audit | None = None,
        closers: Sequence[Callable[[], None]] = (),
    ) -> None:
        """Use `Provider.open` or `Registry.open`. `client` is closed with the provider where it
        is given; `closers` are called then."""
        self._opened = opened
        self._own_client = client
        self._reuse = reuse
        self._audit = audit
        self._closers = list(closers)
        self._lock = threading.RLock()  # a collected stream may end while we hold it
        self._kept: Kept | None = None
        self._running: set[Session] = set()
        self._closed = False

    @classmethod
    def open(
        cls,
        plugin: str | os.PathLike[str] | bytes,
        *,
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, Any] | None = None,
        allowed_hosts: Sequence[str] | None = None,
        limits: Limits | None = None,
        reuse: bool = False,
        generation: GenerationName | None = None,
    ) -> Provider:
        """Open a plugin: a path, the bytes of a module, or `"bundled:openai"`.

        `config` is what plugins.toml has under `[providers.config]`, `secrets` what it has under
        `[providers.secrets]`, `allowed_hosts` is added to the config's own. `generation` ("A",
        "B" or "C") overrides the detection of provider-abi.md §0.1.

        Raises LoadError, ConfigError (all problems of the config by key path), and what the
        plugin's own exports raise.
        """
        spec = Spec(
            plugin=plugin,
            config=config or {},
            secrets=secrets or {},
            allowed_hosts=allowed_hosts or (),
            limits=limits or Limits(),
            generation=generation,
        )
        return open_spec(cls, spec, reuse=reuse)

    # -- what it is -----------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The operator's name for it; what the plugin calls itself does not count."""
        return self._opened.name

    @property
    def config_schema(self) -> dict[str, Any]:
        """The plugin's own JSON Schema for its config."""
        return self._opened.settings.schema.document

    @property
    def capabilities(self) -> frozenset[str]:
        """The operations that the plugin has exports for: `chat`, `chat_stream`, `embed`, …"""
        return self._opened.traits.capabilities

    @property
    def traits(self) -> Traits:
        """Generation and mode of the plugin."""
        return self._opened.traits

    @property
    def sha256(self) -> str:
        """The digest of the plugin's file."""
        return self._opened.compiled.sha256

    def __repr__(self) -> str:
        return f"Provider({self.name!r}, generation {self.traits.generation})"

    # -- operations -----------------------------------------------------------------------

    def chat(
        self,
        messages: Conversation,
        *,
        tools: Sequence[Tool] | None = None,
        **config_overrides: Any,
    ) -> ChatResponse:
        """One answer. `messages` is text (one user message) or a conversation; `tools` may be
        called by the model; `config_overrides` replace keys of the config for this call."""
        conversation = as_messages(messages)
        reply, receipt = self._run(
            "chat",
            config_overrides,
            lambda traits, cfg: core.chat(traits, cfg, conversation, tools),
        )
        return ChatResponse.of(reply, receipt)

    def chat_stream(
        self,
        messages: Conversation,
        *,
        tools: Sequence[Tool] | None = None,
        **config_overrides: Any,
    ) -> ChatStream:
        """The same, piece by piece. Raises here what fails before the stream stands."""
        conversation = as_messages(messages)
        cfg, limits = self._configure(config_overrides)
        session = self._begin("chat_stream", limits)
        op = self._checked(cfg, streaming.chat_stream(self.traits, cfg, conversation, tools))
        try:
            return ChatStream(session, op, self._end)
        except Error as error:
            raise self._advised(error) from error.__cause__

    def embed(self, inputs: str | Sequence[str], **config_overrides: Any) -> Embeddings:
        """One vector per input, in order."""
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        if not all(isinstance(text, str) for text in texts):
            raise UsageError("inputs are texts")
        vectors, receipt = self._run(
            "embed", config_overrides, lambda traits, cfg: core.embed(traits, cfg, texts)
        )
        return Embeddings(vectors, receipt)

    def complete(
        self,
        prompt: str,
        *,
        suffix: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        **config_overrides: Any,
    ) -> Completion:
        """The text that continues `prompt` (up to `suffix`, where the model can fill in)."""
        request = calls.CompletionRequest(prompt, suffix, max_tokens, temperature)
        text, receipt = self._run(
            "complete", config_overrides, lambda traits, cfg: core.complete(traits, cfg, request)
        )
        return Completion(text, receipt)

    def list_models(self) -> Models:
        """The models that may be named in the config. Needs no `model` itself."""
        cfg = self._opened.settings.models_cfg()
        names, receipt = self._drive(
            "list_models", core.list_models(self.traits, cfg), self._limits({})
        )
        return Models(names, receipt)

    def transcribe(
        self,
        audio: bytes,
        *,
        filename: str | None = None,
        mime_type: str | None = None,
        model: str | None = None,
        language: str | None = None,
        **config_overrides: Any,
    ) -> Transcription:
        """The text of a recording."""
        request = speech_wire.TranscribeRequest(audio, filename, mime_type, model, language)
        text, receipt = self._run(
            "transcribe",
            config_overrides,
            lambda traits, cfg: core.transcribe(traits, cfg, request),
        )
        return Transcription(text, receipt)

    def speech(
        self,
        text: str,
        *,
        model: str | None = None,
        voice: str | speech_wire.Voice | None = None,
        format: str | None = None,  # noqa: A002 - the name on the wire
        speed: float | None = None,
        language: str | None = None,
        **config_overrides: Any,
    ) -> Speech:
        """`text`, spoken. `voice` is the name of a preset, or a `Voice`."""
        speaker = speech_wire.PresetVoice(voice) if isinstance(voice, str) else voice
        request = speech_wire.SpeechRequest(text, model, speaker, format, speed, language)
        spoken, receipt = self._run(
            "speech", config_overrides, lambda traits, cfg: core.speech(traits, cfg, request)
        )
        return Speech(spoken.audio, spoken.mime_type, receipt)

    # -- the end --------------------------------------------------------------------------

    def close(self) -> None:
        """Cancel what runs, close connections, free the kept instance. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            running = list(self._running)
            kept, self._kept = self._kept, None
        for session in running:
            session.cancel()
        if kept is not None:
            kept.instance.close()
        if self._own_client is not None:
            self._own_client.close()
        for closer in self._closers:
            closer()

    def __enter__(self) -> Provider:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- one operation --------------------------------------------------------------------

    def _run(
        self,
        operation: str,
        overrides: Mapping[str, Any],
        make: Callable[[Traits, Config], Op[_T]],
    ) -> tuple[_T, Receipt]:
        cfg, limits = self._configure(overrides)
        return self._drive(operation, self._checked(cfg, make(self.traits, cfg)), limits)

    def _configure(self, overrides: Mapping[str, Any]) -> tuple[Config, Limits]:
        settings = self._opened.settings
        return settings.cfg(overrides), self._limits(overrides)

    def _limits(self, overrides: Mapping[str, Any]) -> Limits:
        limits = self._opened.host.limits
        timeout = self._opened.settings.timeout(overrides)
        if timeout is None or timeout >= limits.deadline:
            return limits
        return limits.replace(deadline=timeout)

    def _checked(self, cfg: Config, op: Op[_T]) -> Op[_T]:
        """`op` after the plugin accepted `cfg`, in the same instance."""
        yield from check_config(self._opened, cfg)
        return (yield from op)

    def _drive(self, operation: str, op: Op[_T], limits: Limits) -> tuple[_T, Receipt]:
        session = self._begin(operation, limits)
        failure: Error | None = None
        try:
            return session.run(op), session.receipt()
        except Error as error:
            failure = self._advised(error)
            raise
        except BaseException:
            failure = Cancelled("the operation was interrupted")
            raise
        finally:
            self._end(session, failure)

    def _begin(self, operation: str, limits: Limits) -> Session:
        with self._lock:
            if self._closed:
                raise ClosedError("the provider was closed", plugin=self.name)
            kept, self._kept = self._kept, None
            session = Session(self._opened.host, operation, limits, kept)
            self._running.add(session)
        return session

    def _end(self, session: Session, error: Error | None) -> None:
        kept = session.release() if self._reuse else None
        session.close()
        with self._lock:
            self._running.discard(session)
            if kept is not None and self._kept is None and not self._closed:
                self._kept, kept = kept, None
        if kept is not None:
            kept.instance.close()
        if self._audit is not None:
            session.record(self._audit, error)

    def _advised(self, error: Error) -> Error:
        """A refused key gets the line that would set one."""
        refused = isinstance(error, ProviderError) and (
            error.status in (401, 403) or error.kind in ("authentication", "auth_error")
        )
        if refused and error.hint is None:
            error.hint = self._opened.advice.get("api_key")
        return error


def open_spec(
    cls: type[Provider],
    spec: Spec,
    *,
    client: Client | None = None,
    reuse: bool = False,
    audit: Audit | None = None,
) -> Provider:
    """Open a spec. `client` is shared and stays open; without one the provider has its own."""
    compiled, ours = load(spec)
    own = None
    try:
        own = None if client is not None else make_client()
        opened = open_plugin(
            spec,
            compiled,
            traits_of(compiled, spec.generation),
            client or own,  # type: ignore[arg-type]  # one of them is there
            name=spec.name or compiled.name,
            ours=ours,
            audit=audit,
        )
    except BaseException:
        if own is not None:
            own.close()
        compiled.close()
        raise
    return cls(opened, own, reuse=reuse, audit=audit, closers=[compiled.close])

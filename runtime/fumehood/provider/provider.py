"""`Provider`: a plugin as an LLM provider, synchronous (spec/api.md "Objects")."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from fumehood import arguments
from fumehood.abi import calls
from fumehood.abi import speech as speech_wire
from fumehood.abi.messages import Conversation
from fumehood.abi.tools import Tool
from fumehood.egress.transport import Network
from fumehood.errors import Cancelled, Error
from fumehood.limits import Limits
from fumehood.provider import plans
from fumehood.provider.audit import Audit
from fumehood.provider.base import Base
from fumehood.provider.network import given
from fumehood.provider.opening import Opened, Spec, make_client
from fumehood.provider.plans import Plan
from fumehood.provider.pool import Pool
from fumehood.provider.reaper import reaper
from fumehood.provider.results import (
    ChatResponse,
    Completion,
    Embeddings,
    Models,
    Speech,
    Transcription,
)
from fumehood.provider.runtime import Client, Session
from fumehood.provider.stream import ChatStream
from fumehood.provider.traits import GenerationName
from fumehood.provider.versions import Versions, open_versions

_R = TypeVar("_R")


class Provider(Base):
    """One plugin with one configuration. Safe to use from several threads.

    Each operation gets a fresh instance of the plugin, so that nothing passes from one request to
    the next; with `reuse=True` an instance is kept and used by one operation after another (at
    the same time by none: an operation that finds it busy makes its own), until one fails.
    Operations return results with a `.receipt` and raise the errors of `fumehood.errors`, which
    have one as well. `close()` it, or use `with`.
    """

    def __init__(
        self,
        opened: Opened | Versions,
        client: Client | None,
        *,
        reuse: bool = False,
        audit: Audit | None = None,
        pool: Pool | None = None,
    ) -> None:
        """Use `Provider.open` or `Registry.open`. `client` is closed with the provider where it
        is given."""
        closers = [] if client is None else [client.close]
        super().__init__(opened, reuse=reuse, audit=audit, pool=pool, closers=closers)

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
        pool: Pool | None = None,
        network: Mapping[str, Any] | None = None,
    ) -> Provider:
        """Open a plugin: a path, the bytes of a module, or `"bundled:openai"`.

        `config` is what plugins.toml has under `[providers.config]`, `secrets` what it has under
        `[providers.secrets]`, `allowed_hosts` is added to the config's own. `generation` ("A",
        "B" or "C") overrides the detection of provider-abi.md §0.1. `pool` bounds the instances
        that live at once; without one there is the process's own. `network` is what plugins.toml
        has under `[network]`.

        Raises LoadError, ConfigError (all problems of the config by key path), and what the
        plugin's own exports raise.
        """
        spec = Spec(
            plugin=plugin,
            config={} if config is None else config,
            secrets={} if secrets is None else secrets,
            allowed_hosts=arguments.texts(allowed_hosts, "allowed_hosts"),
            limits=Limits() if limits is None else limits,
            generation=generation,
        )
        return open_spec(cls, spec, network=given(network), reuse=reuse, pool=pool)

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
        return self._run(
            "chat", config_overrides, lambda on: plans.chat(on, messages, tools, config_overrides)
        )

    def chat_stream(
        self,
        messages: Conversation,
        *,
        tools: Sequence[Tool] | None = None,
        **config_overrides: Any,
    ) -> ChatStream:
        """The same, piece by piece. Raises here what fails before the stream stands."""
        opened = self._borrow()
        try:
            op = plans.chat_stream(opened, messages, tools, config_overrides)
        except BaseException:
            self._versions.give(opened)
            raise
        session = self._begin("chat_stream", opened, plans.limits(opened, config_overrides))
        try:
            self._admit(session)
        except BaseException as failure:
            self._over(session, failure if isinstance(failure, Error) else None)
            raise
        try:
            return ChatStream(session, op, self._over)
        except Error as error:
            raise self._advised(error) from error.__cause__

    def embed(self, inputs: str | Sequence[str], **config_overrides: Any) -> Embeddings:
        """One vector per input, in order."""
        return self._run(
            "embed", config_overrides, lambda on: plans.embed(on, inputs, config_overrides)
        )

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
        return self._run(
            "complete", config_overrides, lambda on: plans.complete(on, request, config_overrides)
        )

    def list_models(self) -> Models:
        """The models that may be named in the config. Needs no `model` itself."""
        return self._run("list_models", {}, plans.list_models)

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
        return self._run(
            "transcribe",
            config_overrides,
            lambda on: plans.transcribe(on, request, config_overrides),
        )

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
        speaker = plans.as_voice(voice)
        request = speech_wire.SpeechRequest(text, model, speaker, format, speed, language)
        return self._run(
            "speech", config_overrides, lambda on: plans.speech(on, request, config_overrides)
        )

    # -- the end --------------------------------------------------------------------------

    def close(self) -> None:
        """Cancel what runs, close connections, free the kept instance. Idempotent."""
        self._shut()

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
        make: Callable[[Opened], Plan[_R]],
    ) -> _R:
        opened = self._borrow()
        try:
            plan = make(opened)
        except BaseException:
            self._versions.give(opened)
            raise
        session = self._begin(operation, opened, plans.limits(opened, overrides))
        failure: Error | None = None
        try:
            self._admit(session)
            reply = session.run(plan.op)
            return plan.result(reply, session.conclude())
        except Error as error:
            failure = self._advised(error)
            raise
        except BaseException:
            failure = Cancelled("the operation was interrupted")
            raise
        finally:
            self._over(session, failure)

    def _over(self, session: Session, error: Error | None) -> None:
        """`_end`, where Ctrl-C may come in the midst of it: then another thread does it."""
        try:
            self._end(session, error)
        except KeyboardInterrupt:
            reaper.ready()
            reaper.leave(functools.partial(self._end, session, error))
            raise

    def _borrow(self) -> Opened:
        self._versions.refresh()
        return self._versions.take()

    def _admit(self, session: Session) -> None:
        """Wait for a place in the pool."""
        try:
            self._placed(session, self._pool.take(self.name, session.meter))
        except Error as error:
            raise session.sign(error) from error.__cause__


def open_spec(
    cls: type[Provider],
    spec: Spec,
    *,
    client: Client | None = None,
    network: Network = Network(),  # noqa: B008 - frozen
    reuse: bool = False,
    audit: Audit | None = None,
    pool: Pool | None = None,
    watch: bool = False,
) -> Provider:
    """Open a spec. `client` is shared and stays open; without one the provider has its own. With
    `watch` the plugin is opened again whenever its file changes."""
    own = make_client(network) if client is None else None
    try:
        versions = open_versions(spec, client or own, audit=audit, watch=watch)  # type: ignore[arg-type]  # one of them is there
    except BaseException:
        if own is not None:
            own.close()
        raise
    return cls(versions, own, reuse=reuse, audit=audit, pool=pool)

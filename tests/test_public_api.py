"""The names that users import do not move, and importing them costs little."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Final

import pytest

import fumehood
from fumehood import errors
from tests.counts import count

ERRORS: Final = {
    "Error": None,
    "UsageError": "Error",
    "ConfigError": "UsageError",
    "ManifestError": "UsageError",
    "ReentryError": "UsageError",
    "ClosedError": "UsageError",
    "GuestError": "Error",
    "LoadError": "GuestError",
    "PluginError": "GuestError",
    "ProtocolError": "GuestError",
    "Trap": "GuestError",
    "Exit": "GuestError",
    "LimitError": "GuestError",
    "Timeout": "LimitError",
    "OutOfFuel": "LimitError",
    "OutOfMemory": "LimitError",
    "TooMuch": "LimitError",
    "EgressDenied": "GuestError",
    "HostError": "Error",
    "HostFunctionError": "HostError",
    "TransportError": "HostError",
    "CacheError": "HostError",
    "ProviderError": "Error",
    "Cancelled": "Error",
}
"""The exception tree: name to parent."""

OTHERS: Final = {
    "AsyncChatStream",
    "AsyncProvider",
    "ChatResponse",
    "ChatStream",
    "Completion",
    "Embeddings",
    "Exchange",
    "Limits",
    "Message",
    "Models",
    "Plugin",
    "Pool",
    "Provider",
    "Receipt",
    "Registry",
    "Speech",
    "StreamChunk",
    "Tool",
    "ToolCall",
    "Transcription",
    "Usage",
    "__version__",
    "assistant",
    "host_function",
    "image",
    "pool_instances",
    "tool_result",
    "user",
}


def test_the_exported_names_are_pinned() -> None:
    assert set(fumehood.__all__) == set(ERRORS) | OTHERS
    assert len(fumehood.__all__) == len(set(fumehood.__all__))


def test_every_exported_name_is_there() -> None:
    for name in fumehood.__all__:
        assert getattr(fumehood, name) is not None
    assert set(fumehood.__all__) <= set(dir(fumehood))


def test_a_name_that_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = fumehood.nothing


@pytest.mark.parametrize(("name", "parent"), ERRORS.items())
def test_the_exception_tree(name: str, parent: str | None) -> None:
    error = getattr(fumehood, name)
    assert error is getattr(errors, name)
    assert error.__base__ is (Exception if parent is None else getattr(fumehood, parent))
    assert isinstance(error.code, str)


def test_codes_of_errors_differ() -> None:
    codes = [getattr(fumehood, name).code for name in ERRORS]
    assert len(set(codes)) == len(codes)


def test_no_exception_is_left_out() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, BaseException)
    }
    assert defined == set(ERRORS)


def test_what_is_exported_is_documented() -> None:
    silent = [
        name
        for name in fumehood.__all__
        if not name.startswith("__") and not inspect.getdoc(getattr(fumehood, name))
    ]
    assert silent == []


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert fumehood.__version__ == version("fumehood")


HEAVY: Final = ("wasmtime", "httpx", "httpcore", "jsonschema", "rich", "click", "msgspec", "anyio")


def test_importing_the_package_loads_nothing_heavy() -> None:
    probe = f"import sys, fumehood; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_package_is_quick() -> None:
    # processor time: the machine may be busy with other tests
    probe = "import time; t = time.process_time(); import fumehood; print(time.process_time() - t)"
    best = min(
        float(subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True).stdout)
        for _ in range(count(5, 20))
    )
    assert best < 0.1

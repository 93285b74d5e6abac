"""A stub in a process of its own, for tests that measure theirs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def stub_process() -> Iterator[str]:
    """The base URL of a stub that shares no memory with the test."""
    command = [sys.executable, "-m", "fumehood.testing.stub"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()

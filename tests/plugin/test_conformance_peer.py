"""The same cases on the `extism` package, in a process of its own: what is written down is real.

A wrong expectation in expected.json would otherwise pass as long as our host shared the mistake.
The same program, import lines apart, then runs on `fumehood.extism`.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.guests import guest_path
from tests.toolchains import ROOT


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("language", "first"),
    [("rust", "echo"), ("go", "features"), ("assemblyscript", "features"), ("c", "reactor")],
)
@pytest.mark.parametrize("face", ["extism", "fumehood.extism"])
def test_peer(language: str, first: str, face: str) -> None:
    guest_path(f"{language}/{first}")  # builds the language, or says why not
    own = ["--own"] if face == "fumehood.extism" else []
    done = subprocess.run(
        [sys.executable, "-m", "tests.guests.peer", *own, language],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr[-2000:]
    assert json.loads(done.stdout) == []

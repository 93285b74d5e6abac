"""What an instance that waits for its next call keeps resident."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

INSTANCES: Final = 100
KIB_EACH: Final = 256
"""A thousand idle streams in a quarter of a gigabyte."""

PROGRAM: Final = f"""
from fumehood.plugin import CompiledPlugin, Plugin
from fumehood.provider import bundled

def resident():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))

def idle():
    plugin = Plugin(compiled)
    plugin.call("config_schema", b"null")
    return plugin

compiled = CompiledPlugin.load(bundled.read("openai").content)
warm = [idle() for _ in range(5)]
before = resident()
kept = [idle() for _ in range({INSTANCES})]
print((resident() - before) / {INSTANCES})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("pooled", [0, 2 * INSTANCES])
def test_an_idle_instance_is_small(pooled: int) -> None:
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "FUMEHOOD_POOLED_INSTANCES": str(pooled),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < KIB_EACH

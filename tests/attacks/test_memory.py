"""The host's resident memory stays within the limit and 16 MiB, whatever a guest does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

from fumehood.limits import MIB
from fumehood.testing.gallery import GALLERY, Attack

SLACK = 16 * MIB
BOMB_SLACK = 8 * MIB
"""Beside the reply's own cap, for what no guest's memory is part of (threats.md)."""
REPLIES = {"bombs", "slow and endless bodies"}

CHILD = """
import json, logging, resource, sys
from fumehood.testing.gallery import find
from fumehood.testing.gallery.run import contain

logging.getLogger("fumehood").addHandler(logging.NullHandler())
logging.getLogger("fumehood").propagate = False
stub, names = sys.argv[1], json.loads(sys.argv[2])
linux = sys.platform == "linux"


def status(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def now():
    if linux:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak begins anew
        return status("VmRSS")
    return peak()


def peak():
    if linux:
        return status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# everything that is loaded once is loaded before: HTTP client, provider, one whole call of each
for name in ("no_grant_at_all", "spelling_00", "reply_is_no_json", "file_scheme",
             "stream_left_open", "error_swap", "cache_cut"):
    contain(find(name), stub)
for name in names:
    before = now()
    end = contain(find(name), stub)
    print(json.dumps([name, peak() - before, end.why]), flush=True)
"""


def measure(attacks: Sequence[Attack], stub: str) -> dict[str, tuple[int, str]]:
    """By row: bytes that the process grew by at most, and why the row was not contained."""
    names = json.dumps([attack.name for attack in attacks])
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, stub, names], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("[")]
    return {name: (grown, why) for name, grown, why in rows}


def allowed(attack: Attack) -> int:
    """Bytes by which the process may grow while the row runs."""
    limits = attack.operation
    if attack.group in REPLIES:
        return limits.response_bytes + BOMB_SLACK
    return limits.memory + limits.kernel_memory + SLACK


@pytest.mark.skipif(sys.platform == "win32", reason="resident memory is read the POSIX way")
@pytest.mark.timeout(600)
def test_resident_memory(stub_process: str) -> None:
    # where a peak cannot be begun anew, each row needs a process of its own
    together = [GALLERY] if sys.platform == "linux" else [[row] for row in GALLERY if greedy(row)]
    found: dict[str, tuple[int, str]] = {}
    for attacks in together:
        found |= measure(attacks, stub_process)
    by_name = {attack.name: attack for attack in GALLERY}
    assert set(found) == {attack.name for attacks in together for attack in attacks}
    wrong = {name: why for name, (_, why) in found.items() if why}
    grown = {
        name: f"{size / MIB:.1f} MiB"
        for name, (size, _) in found.items()
        if size > allowed(by_name[name])
    }
    assert (wrong, grown) == ({}, {})


def greedy(attack: Attack) -> bool:
    """Whether the row is about memory at all."""
    return attack.group in {"memory", "tables", "bombs"} or "flood" in attack.name

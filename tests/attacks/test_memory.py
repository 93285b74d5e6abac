"""The host's resident memory stays within the limit and 16 MiB, whatever a guest does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fumehood.limits import MIB
from fumehood.testing.gallery import GALLERY, find

SLACK = 16 * MIB
GREEDY = {"memory", "tables", "bombs"}
ALSO = {"log_flood", "error_flood", "endless_body", "schema_is_deep", "memory_mask"}

CHILD = """
import logging, resource, sys
from fumehood.testing.gallery import find
from fumehood.testing.gallery.run import contain

logging.getLogger("fumehood").addHandler(logging.NullHandler())
logging.getLogger("fumehood").propagate = False
unit = 1 if sys.platform == "darwin" else 1024
# everything that is loaded once is loaded before: HTTP client, provider, one whole call of each
contain(find("no_grant_at_all"))
contain(find("spelling_00"))
contain(find("reply_is_no_json"), sys.argv[2])
contain(find("file_scheme"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
end = contain(find(sys.argv[1]), sys.argv[2])
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert end.contained, end.why
print((after - before) * unit)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="resource usage is read the POSIX way")
@pytest.mark.parametrize("name", [a.name for a in GALLERY if a.group in GREEDY or a.name in ALSO])
def test_resident_memory(name: str, stub_process: str) -> None:
    attack = find(name)
    limits = attack.operation
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, name, stub_process],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    grown = int(ran.stdout)
    allowed = limits.memory + limits.kernel_memory + SLACK
    if attack.group == "bombs" or name == "endless_body":
        allowed = limits.response_bytes + SLACK  # nothing of these is the guest's memory
    assert grown <= allowed, f"{grown / MIB:.1f} MiB more"

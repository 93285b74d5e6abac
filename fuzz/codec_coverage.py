"""Coverage-guided fuzzing of the pure codecs with atheris, where that package is installed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

COVERAGE: Final = "atheris"
_RUNS: Final = re.compile(r"#(\d+)")


def missing_atheris() -> str | None:
    """Why this cannot run here, or None."""
    if importlib.util.find_spec(COVERAGE) is None:
        return "the package atheris is not installed (pip install 'fumehood[fuzz]')"
    return None


def run_coverage(seconds: float, seed: int) -> tuple[int, float, str, str]:
    """(cases, seconds, trace or "", the failing bytes in hex) of a run in a child process."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        command = [sys.executable, "-m", "fuzz.codec_coverage", str(corpus)]
        command += [f"-max_total_time={max(1, int(seconds))}", f"-seed={seed % (1 << 31) + 1}"]
        command += [f"-artifact_prefix={folder}/", "-max_len=4096", "-timeout=20"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        runs = [int(number) for number in _RUNS.findall(said)]
        spent, cases = time.monotonic() - began, max(runs, default=0)
        if done.returncode == 0:
            return cases, spent, "", ""
        kept = [path for path in Path(folder).iterdir() if path.is_file()]
        return cases, spent, said[-6000:], kept[0].read_bytes().hex() if kept else ""


def main() -> None:
    """The child."""
    import atheris  # an optional package, and a heavy one

    with atheris.instrument_imports(include=["fumehood.abi"]):
        from fuzz.codecs import compare, compare_packed
        from tests.abi.test_hostile import feed, packed_documents, valid_documents

    folder = Path(sys.argv[1])
    for number, data in enumerate(_seeds(valid_documents() | packed_documents())):
        (folder / str(number)).write_bytes(data)

    def one(data: bytes) -> None:
        feed(data)
        compare(data)
        compare_packed(data)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


def _seeds(documents: object) -> list[bytes]:
    """Some documents of every kind to begin with."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.strategies import SearchStrategy

    assert isinstance(documents, SearchStrategy)
    found: list[bytes] = []

    @settings(
        max_examples=300,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(documents)
    def collect(data: bytes) -> None:
        found.append(data)

    collect()
    return found


if __name__ == "__main__":
    main()

"""Loading of plugins, in new processes and again in the same one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.report import Row, row
from bench.run import ROOT, Effort, Spec, cold, warm, workers
from bench.thirdparty import ABSENT, querymt

TITLE: Final = "Loading"
ABOUT: Final = (
    "`cold` is load, instance and first call in a process of its own, its import not counted; "
    "uncached, the module is compiled (fumehood does that in a child process under limits). "
    "`load` is loading alone: read the file, find the compiled module in the cache, check it "
    "(fumehood: its MAC), map it; `first` in a process of its own, `again` in a process that has "
    "done so before. The large plugin is QueryMT's openai plugin of 1.7 MB, where it lies beside "
    "the repository."
)
BUNDLED: Final = ROOT / "runtime" / "fumehood" / "provider" / "bundled" / "openai.wasm"
QUESTION: Final = {"export": "name", "data": "null"}
"""What a provider plugin is first asked."""


def _sides(guest: Path, **how: str) -> dict[str, Spec]:
    arguments = {"guest": str(guest), **how}
    return {
        "fumehood": Spec("calls:Fumehood", arguments),
        "extism": Spec("calls:Extism", arguments),
    }


def rows(effort: Effort, guest: Path) -> Iterator[Row]:
    """Yield every row."""
    small = _sides(guest)
    for cached, words in ((False, "uncached"), (True, "cached")):
        samples = cold(small, {"work": "cold"}, effort, cached=cached)
        yield row(f"cold.small.{words}", f"cold, small guest, {words}", samples)
    plugins = [("bundled", "bundled openai, 0.7 MB", BUNDLED)]
    large = querymt()
    if large is not None:
        plugins.append(("large", "QueryMT's, 1.7 MB", large))
    for key, name, file in plugins:
        sides = _sides(file, **QUESTION)
        if not effort.quick:
            samples = cold(sides, {"work": "cold"}, effort, cached=False)
            yield row(f"cold.{key}.uncached", f"cold, {name}, uncached", samples)
        samples = cold(sides, {"work": "cold"}, effort, cached=True)
        yield row(f"cold.{key}.cached", f"cold, {name}, cached", samples)
        samples = cold(sides, {"work": "load"}, effort, cached=True)
        yield row(f"load.{key}.first", f"load from cache, {name}, first", samples)
        with workers(sides) as running:
            samples = warm(running, {"work": "load"}, effort)
        yield row(f"load.{key}.again", f"load from cache, {name}, again", samples)
    if large is None:
        yield Row("load.large.first", "load from cache, 1.7 MB", absent={"fumehood": ABSENT})
    samples = cold(small, {"work": "imported"}, effort, cached=True)
    yield row("import", "import of the package", samples)

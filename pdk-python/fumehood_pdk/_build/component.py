"""`build --target component`: componentize-py wraps the same class into a component of the world in `wit/plugin.wit`.

What it writes is not the same on every run (it keeps a hash seed of its own); the core target's is.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fumehood_pdk._build import refusals
from fumehood_pdk._build.failure import BuildError
from fumehood_pdk._build.plugin import Progress, Report, gather, plan_of, write
from fumehood_pdk._build.snapshot import Stopped
from fumehood_pdk._build.wasmfile import HEADER, MEMORY, Module, Reader

PYTHON: Final = (3, 14)
"""What componentize-py 0.25 brings along."""
_NEW: Final = frozenset({"annotationlib", "compression", "concurrent", "pathlib"})
"""Of its standard library, what the author's own Python may not have."""
_FOLDER: Final = "/0/"
"""Where componentize-py shows the first folder of its search path to the interpreter."""
_FACTS: Final = b"fumehood-build-facts:"
_MAIN: Final = Path(__file__).with_name("main.py.txt")
_ENTRY: Final = Path(__file__).with_name("component_main.py.txt")
_WORLD: Final = "plugin"
_CORE_MODULE: Final = 1
_SECONDS: Final = 600
_COMMAND: Final = "import sys; from componentize_py import script; sys.exit(script())"
_HOST_ONLY: Final = {"transcribe", "speech"}


def build(
    plugin: Path,
    out: Path,
    *,
    requirements: Sequence[str],
    requirement_files: Sequence[Path],
    paths: Sequence[Path],
    progress: Progress,
) -> Report:
    """As `plugin.build`. Raises BuildError, also where componentize-py is not installed."""
    started = time.monotonic()
    version = _tool()
    progress(f"reading {plugin.name}")
    found, bundle = gather(
        plugin, requirements=requirements, requirement_files=requirement_files, paths=paths,
        version=PYTHON, progress=progress,
    )  # fmt: skip
    plan = plan_of(found, bundle, frozenset(sys.stdlib_module_names) | _NEW)
    main = _MAIN.read_text("utf-8").replace("PLAN = None", f"PLAN = {plan!r}", 1).replace("/app/app.zip/", _FOLDER)
    app = {
        **bundle.files,
        **found.files,
        "_fumehood_main.py": main.encode(),
        "_fumehood_entry.py": _ENTRY.read_bytes(),
    }
    progress(f"importing {found.module} in componentize-py {version}")
    with tempfile.TemporaryDirectory(prefix="fumehood-build-") as folder:
        made = Path(folder) / "plugin.wasm"
        try:
            _run(Path(folder), app, made)
        except Stopped as stopped:
            raise refusals.explain(stopped, found, bundle) from None
        wasm = made.read_bytes()
    facts = _facts(wasm)
    asking = sorted(_HOST_ONLY & set(facts["exports"]))
    if asking:
        raise BuildError(
            f"{found.module} has {' and '.join(asking)}, for which the host sends a request while the plugin waits; a "
            "component cannot ask for that",
            "build it with --target core",
        )
    progress(f"writing {out.name}")
    write(out, wasm)
    return Report(
        target="component",
        file=str(out),
        name=facts["name"],
        provider=facts["provider"],
        size=len(wasm),
        sha256=hashlib.sha256(wasm).hexdigest(),
        python=facts["python"],
        interpreter=f"componentize-py {version}",
        exports=facts["exports"],
        modules=len(facts["modules"]),
        beside=found.beside,
        packages=bundle.packages,
        memory=_memory(wasm) * 65536,
        seconds=time.monotonic() - started,
    )


def wit() -> Path:
    """The folder of our world: package data when installed, `pdk-python/wit` in a checkout."""
    here = Path(__file__).resolve().parent
    return next(folder for folder in (here / "wit", here.parents[1] / "wit") if (folder / "plugin.wit").is_file())


def _tool() -> str:
    if importlib.util.find_spec("componentize_py") is None:
        raise BuildError("componentize-py is not installed", "pip install './pdk-python[component]'")
    return importlib.metadata.version("componentize-py")


def _run(folder: Path, app: Mapping[str, bytes], out: Path) -> None:
    """Run componentize-py over `app`. Raises Stopped with what the guest wrote."""
    root = folder / "app"
    for name, content in app.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    # It bundles the site-packages that it finds: an empty environment keeps what is installed here out of the plugin.
    (folder / "venv" / "lib" / "site-packages").mkdir(parents=True)
    env = {"VIRTUAL_ENV": str(folder / "venv")}
    env |= {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP") if name in os.environ}
    command = [sys.executable, "-P", "-c", _COMMAND, "-q", "-d", str(wit()), "-w", _WORLD]
    command += ["componentize", "--stub-wasi", "-p", str(root), "_fumehood_entry", "-o", str(out)]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, without a shell
            command, capture_output=True, env=env, timeout=_SECONDS, check=False, cwd=folder
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"importing the plugin took more than {_SECONDS} s", "what runs at import must end") from None
    if done.returncode == 0:
        return
    said = done.stderr.decode("utf-8", "replace")
    told = [line for line in said.splitlines() if '{"failed"' in line]
    shown = re.split(r"\n\s*(?:Caused by|Stack backtrace)", said, maxsplit=1)[0].strip()[-2000:]
    if told:
        raise Stopped("an error", told[-1][told[-1].index('{"failed"') :].encode(), shown)
    raise Stopped("an error of componentize-py", b"", shown)


def _memory(component: bytes) -> int:
    """Pages that the core modules of a component declare to begin with."""
    reader, pages = Reader(component), 0
    reader.at = len(HEADER)
    while reader.at < len(component):
        kind, content = reader.byte(), reader.take(reader.number())
        if kind == _CORE_MODULE:
            memories = Reader(Module(content).get(MEMORY) or b"\0")
            for _ in range(memories.number()):
                bounded = memories.byte() & 1
                pages += memories.number()
                if bounded:
                    memories.number()
    return pages


def _facts(wasm: bytes) -> dict[str, Any]:
    """What `main.py.txt` told, from the memory that was kept: of a build that went well the tool tells nothing."""
    for found in re.finditer(re.escape(_FACTS) + rb"(\{[^\0\n]*\})\n", wasm):
        try:
            facts = json.loads(found[1])
        except ValueError:
            continue
        if isinstance(facts, dict) and "exports" in facts:
            return facts
    raise BuildError("componentize-py kept nothing of what the plugin said about itself")

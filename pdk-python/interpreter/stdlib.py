"""The standard library as one zip of bytecode, without times: `stdlib.py LIB OUT.zip`, run by the CPython just built.

Left out: tests, tools for people, and what needs a process, a terminal or a C library that is not there.
"""

import importlib._bootstrap_external as external
import importlib.util
import sys
import zipfile
from pathlib import Path

LEFT_OUT = {
    "__pycache__", "_pyrepl", "curses", "dbm", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages",
    "sqlite3", "test", "tests", "tkinter", "turtle.py", "turtledemo", "venv",
}  # fmt: skip
# zoneinfo and sysconfig ask for it; the real one holds the build's paths
SYSCONFIG = b"build_time_vars = {'TZPATH': '', 'EXT_SUFFIX': '', 'Py_DEBUG': 0, 'Py_GIL_DISABLED': 0}\n"


def main(lib: Path, out: Path) -> None:
    sources = {
        file.relative_to(lib).as_posix(): file.read_bytes()
        for file in lib.rglob("*.py")
        if not set(file.relative_to(lib).parts) & LEFT_OUT
    }
    sources["_sysconfigdata__wasi_wasm32-wasi.py"] = SYSCONFIG
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, source in sorted(sources.items()):
            code = compile(source, f"/lib/{name}", "exec", dont_inherit=True, optimize=0)
            pyc = external._code_to_hash_pyc(code, importlib.util.source_hash(source), False)
            archive.writestr(zipfile.ZipInfo(f"{name[:-3]}.pyc", (1980, 1, 1, 0, 0, 0)), bytes(pyc))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

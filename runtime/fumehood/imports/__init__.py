"""What a guest may call: one file a concern. `standard` is the set that every plugin gets."""

from __future__ import annotations

from fumehood.engine import HostImport
from fumehood.imports import env, qmt, wasi
from fumehood.imports.log import PluginLog
from fumehood.imports.services import Services
from fumehood.imports.vars import VarStore

__all__ = ["PluginLog", "Services", "VarStore", "standard"]


def standard(
    *, with_wasi: bool = True, with_qmt: bool = True, with_folders: bool = False
) -> list[HostImport]:
    """Host functions in link order (extism-abi.md §2.2): Extism's own, WASI, QueryMT's.

    With folders the file functions of WASI are left to the engine, which has real ones.
    """
    found = env.imports()
    if with_wasi:
        found += wasi.imports(with_files=not with_folders)
    if with_qmt:
        found += qmt.imports()
    return found

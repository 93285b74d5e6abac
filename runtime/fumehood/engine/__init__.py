"""The only room that imports wasmtime: engines, the kernel, sandboxes."""

from fumehood.engine import forking  # noqa: F401 - what children of forks need
from fumehood.engine.declared import ExportInfo, ImportInfo
from fumehood.engine.digests import digest_of
from fumehood.engine.hostcall import HostCall, HostImport
from fumehood.engine.module import CompiledModule, load_module
from fumehood.engine.sandbox import ExitRequest, GoneError, Sandbox
from fumehood.engine.template import NamedModule, Preopen, Template, signature

__all__ = [
    "CompiledModule",
    "ExitRequest",
    "ExportInfo",
    "GoneError",
    "HostCall",
    "HostImport",
    "ImportInfo",
    "NamedModule",
    "Preopen",
    "Sandbox",
    "Template",
    "digest_of",
    "load_module",
    "signature",
]

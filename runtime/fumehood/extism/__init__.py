"""The Extism-compatible face: `import fumehood.extism as extism` (extism-abi.md §4).

What code written for the `extism` package uses, over the native `Plugin`; what differs, and why, is
in docs/differences-from-extism.md. The near-public names are in `fumehood.extism.extism`.
"""

from fumehood.errors import Error
from fumehood.extism import extism
from fumehood.extism.codecs import Codec, Json, Pickle, Ptr, Raw
from fumehood.extism.current import CurrentPlugin
from fumehood.extism.functions import HOST_FN_REGISTRY, Function, host_fn
from fumehood.extism.logs import set_log_custom, set_log_file
from fumehood.extism.plugin import CancelHandle, CompiledPlugin, Plugin
from fumehood.extism.types import Memory, Val, ValType
from fumehood.extism.version import extism_version

__all__ = [
    "HOST_FN_REGISTRY",
    "CancelHandle",
    "Codec",
    "CompiledPlugin",
    "CurrentPlugin",
    "Error",
    "Function",
    "Json",
    "Memory",
    "Pickle",
    "Plugin",
    "Ptr",
    "Raw",
    "Val",
    "ValType",
    "extism",
    "extism_version",
    "host_fn",
    "set_log_custom",
    "set_log_file",
]

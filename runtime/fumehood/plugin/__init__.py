"""Any Extism plugin: manifest, modules, linking, lifecycle, host functions."""

from fumehood.plugin.compiled import CompiledPlugin
from fumehood.plugin.functions import HostFunction, host_function
from fumehood.plugin.instance import Instance
from fumehood.plugin.manifest import Manifest
from fumehood.plugin.plugin import Plugin

__all__ = ["CompiledPlugin", "HostFunction", "Instance", "Manifest", "Plugin", "host_function"]

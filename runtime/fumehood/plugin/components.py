"""Plugins that are components: what they export is asked of them once, when they are loaded."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

from fumehood import forks
from fumehood.engine import ExportInfo
from fumehood.engine.component import CompiledComponent, load_component
from fumehood.engine.component_sandbox import ComponentTemplate
from fumehood.errors import GuestError, LoadError
from fumehood.imports import PluginLog, Services, host
from fumehood.limits import Limits
from fumehood.meter import Meter

ASK: Final = Limits(
    fuel=200_000_000,
    guest_time=2.0,
    deadline=5.0,
    output_bytes=64 * 1024,
    host_calls=100,
    http_requests=0,
)
"""What a component gets to say what it exports."""
MAX_EXPORTS: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_KEPT: Final = 64

_lock = forks.lock()
_known: OrderedDict[str, tuple[str, ...]] = OrderedDict()


def open_component(content: bytes, name: str) -> tuple[CompiledComponent, ComponentTemplate]:
    """A component compiled, linked and asked for its exports (once a process).

    Raises LoadError: not valid, not of our world, or it does not answer well within `ASK`.
    """
    functions = host.functions()
    component = load_component(content, functions)
    with _lock:
        exports = _known.get(component.sha256)
    if exports is None:
        exports = _ask(ComponentTemplate(component, functions), name)
        with _lock:
            _known[component.sha256] = exports
            while len(_known) > _KEPT:
                _known.popitem(last=False)
    return component, ComponentTemplate(component, functions, exports)


def export_infos(template: ComponentTemplate) -> dict[str, ExportInfo]:
    """The exports as a module of the Extism ABI would have them."""
    return {name: ExportInfo(name, "func", "", "i") for name in template.names}


def _ask(template: ComponentTemplate, name: str) -> tuple[str, ...]:
    meter = Meter(ASK, plugin=name, operation="load", sha256=template.component.sha256)
    services = Services(name=name, log=PluginLog(name))
    try:
        with template.instantiate(services, ASK, meter) as sandbox:
            text = sandbox.list_exports(meter)
    except GuestError as problem:
        raise LoadError(
            f"the component does not say what it exports: {problem.message}", hint=problem.hint
        ) from problem
    finally:
        template.close()
    names = tuple(text.split("\n")) if text else ()
    if len(names) > MAX_EXPORTS or len(set(names)) != len(names):
        raise LoadError("the component lists too many exports, or one twice")
    for found in names:
        if not _NAME.fullmatch(found):
            raise LoadError(f"the component lists an export of an impossible name: {found[:100]!r}")
    return names

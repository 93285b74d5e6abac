"""What golden vectors are run through: a plugin file in the sandbox, a class in this process."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fumehood_pdk import _dispatch, _provider

from fumehood import PluginError
from fumehood.plugin import Plugin
from tests.vectors import Call


@contextmanager
def plugin(file: Path) -> Iterator[Call]:
    """A built plugin, all calls on one instance."""
    with Plugin(file.read_bytes()) as guest:

        def call(export: str, data: bytes) -> tuple[bool, bytes]:
            try:
                return True, guest.call(export, data)
            except PluginError as error:
                return False, error.message.encode()

        yield call


def in_process(file: Path) -> Call:
    """The class of a provider file, in plain CPython."""
    return _dispatch.Guest(_provider.provider_of(provider_class(file))).dispatch


def provider_class(file: Path) -> type:
    """The decorated class of a provider file, imported under a name of its own."""
    name = f"vectors_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return next(found.cls for found in _provider.registered if found.cls.__module__ == name)

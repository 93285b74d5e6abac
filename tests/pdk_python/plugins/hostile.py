"""Does on request what a plugin must not, and what Python programs ordinarily do.

The request is the user's text.
"""

import contextlib
import logging
import os
import random
import secrets
import socket
import sys
import time
import uuid

from fumehood_pdk import ChatResponse, HTTPRequest, HTTPResponse, provider

SEEDED = random.Random(42)
UNSEEDED = random.Random()


def _deep(n):
    return _deep(n + 1) + 1


def _nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def _standard_library():
    import base64
    import dataclasses
    import datetime
    import decimal
    import enum
    import fractions
    import hashlib
    import hmac
    import itertools
    import json
    import re
    import statistics
    import string
    import struct
    import textwrap
    import typing
    import unicodedata
    import urllib.parse
    import zlib
    import zoneinfo  # noqa: F401

    @dataclasses.dataclass(frozen=True)
    class Point:
        x: int
        y: typing.Annotated[float, "why"] = 0.5

    class Colour(enum.Enum):
        RED = 1

    noon = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)
    return {
        "json": json.loads(json.dumps({"ü": [1, 2.5, None, True]})),
        "re": re.findall(r"(?P<a>\w)(?=\d)", "a1b2ü3"),
        "dataclasses": dataclasses.asdict(Point(1)),
        "typing": str(typing.get_type_hints(Point)["y"]),
        "enum": Colour(1).name,
        "base64": base64.b64encode(b"\xff\x00").decode(),
        "hashlib": hashlib.sha256(b"").hexdigest(),
        "blake2": hashlib.blake2b(b"", digest_size=4).hexdigest(),
        "hmac": hmac.new(b"k", b"m", "sha256").hexdigest(),
        "urllib": urllib.parse.quote("a b/ü") + urllib.parse.urljoin("http://h/a/b", "../c"),
        "datetime": datetime.datetime.strptime("2024-02-29", "%Y-%m-%d").strftime("%j %A"),
        "iso": (noon + datetime.timedelta(days=1)).isoformat(),
        "decimal": str(decimal.Decimal("0.1") + decimal.Decimal("0.2")),
        "fractions": str(fractions.Fraction(3, 6)),
        "struct": struct.pack(">Hd", 1, 0.5).hex(),
        "zlib": zlib.decompress(zlib.compress(b"x" * 1000)).count(b"x"),
        "unicodedata": unicodedata.normalize("NFD", "ü").encode().hex(),
        "statistics": statistics.median([3, 1, 2]),
        "textwrap": textwrap.shorten("hello wide world", 11),
        "string": string.Template("$a").substitute(a=1),
        "itertools": list(itertools.accumulate([1, 2, 3])),
        "idna": "bücher.example".encode("idna").decode(),
        "codecs": ["ü".encode(name).hex() for name in ("latin-1", "utf-16", "cp1252", "utf-32-be")],
        "int": len(str(7**1000)),
        "float": [0.1 + 0.2, 1e300 * 10, float("nan") != float("nan")],
        "time": time.time() > 1_700_000_000,
        "monotonic": time.monotonic() <= time.monotonic(),
        "clock": time.process_time() >= 0,
    }


def _out_of_memory():
    held = []
    while True:
        held.append(bytearray(1 << 20))


def _endless():
    while True:
        pass


def _swallow_everything():
    while True:
        try:
            _out_of_memory()
        except BaseException:  # a plugin that will not be stopped by an exception
            continue


def _print_much():
    for _ in range(10_000):
        print("x" * 100)
    return "printed"


def _regex():
    import re

    return bool(re.match(r"(a+)+$", "a" * 40 + "b"))


def _class_error():
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no text for you")

    raise Odd


def _broken_stream():
    sys.stdout.close()
    sys.stderr.close()
    raise KeyError("after closing")


DEEDS = {
    "hello": lambda: "hello",
    "log": lambda: logging.getLogger("mine").warning("a line of %s", "mine"),
    "exit": lambda: sys.exit(3),
    "os-exit": lambda: os._exit(4),
    "abort": os.abort,
    "endless": _endless,
    "memory": _out_of_memory,
    "swallow": _swallow_everything,
    "one-block": lambda: len(bytearray(1 << 30)),
    "recursion": lambda: _deep(0),
    "json-depth": lambda: repr(_nested(100_000))[:1],
    "parse-depth": lambda: __import__("json").loads("[" * 100_000),
    "compile-depth": lambda: eval("(" * 10_000 + ")" * 10_000),
    "sort-depth": lambda: sorted([_nested(5_000), _nested(5_000)]),
    "socket": lambda: socket.create_connection(("127.0.0.1", 80)),
    "socket-class": lambda: socket.socket(),
    "resolve": lambda: socket.getaddrinfo("example.org", 80),
    "read-file": lambda: open("/etc/passwd").read(),
    "read-app": lambda: open("/app/app.zip", "rb").read(),
    "write-file": lambda: open("/tmp/x", "w"),
    "list-files": lambda: os.listdir("/"),
    "environment": lambda: dict(os.environ),
    "arguments": lambda: sys.argv,
    "late-import": lambda: __import__("xml.dom.minidom"),
    "process": lambda: os.system("true"),
    "thread": lambda: __import__("threading").Thread(target=print).start(),
    "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt()),
    "generator-exit": lambda: (_ for _ in ()).throw(GeneratorExit()),
    "odd-error": _class_error,
    "closed-streams": _broken_stream,
    "huge": lambda: "x" * (80 << 20),
    "surrogate": lambda: "\ud800",
    "print": _print_much,
    "regex": _regex,
    "sleep": lambda: time.sleep(3600),
    "standard-library": _standard_library,
    "random": lambda: [
        random.random(), random.getrandbits(64), UNSEEDED.random(),
        os.urandom(8).hex(), secrets.token_hex(8), str(uuid.uuid4()),
    ],
    "seeded": lambda: SEEDED.random(),
    "frozen": lambda: contextlib.suppress(ValueError) is not None,
}  # fmt: skip


@provider(name="hostile")
class Hostile:
    """What it is asked stands in the message."""

    model: str = "none"

    def chat_request(self, messages, tools):
        return HTTPRequest.post_json("http://h/", DEEDS[messages[0].text]())

    def parse_chat(self, response: HTTPResponse) -> ChatResponse:
        return ChatResponse(response.text)

"""Ways to write an address that is not public, or to hide the host of a URL; one row each.

Every host is granted (`*`), so what refuses them is the second decision, on the address, and the
one strict URL parser. None may lead to a connection.
"""

from __future__ import annotations

import json
from typing import Final

from fumehood.testing.gallery.attacks import Attack

PROMISE: Final = "However an address is written, a private one needs a grant of its own."

HOSTS: Final = (
    # loopback, in the spellings that resolvers take for 127.0.0.1
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.1",
    "0x7f.0x0.0x0.0x1", "0177.0.0.1", "017700000001", "0177.0x0.0.1", "127.000.000.001",
    "127.0.0.1.", "localhost", "LOCALHOST", "localhost.",
    # unspecified: most systems connect it to themselves
    "0.0.0.0", "0", "0x0", "0.0.0.1", "[::]",  # noqa: S104 - asked for, not bound to
    # private, shared, link-local, reserved
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.1.254",
    "100.64.0.1", "169.254.169.254", "169.254.0.1", "2852039166", "0xa9fea9fe", "198.18.0.1",
    "192.0.0.192", "192.0.2.1", "240.0.0.1", "255.255.255.255", "224.0.0.1",
    # IPv6: loopback, link-local, unique local, multicast, documentation, with zones
    "[::1]", "[0:0:0:0:0:0:0:1]", "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[fd12:3456::1]",
    "[ff02::1]", "[2001:db8::1]", "[fec0::1]",
    # IPv4 inside IPv6: mapped, compatible, NAT64, 6to4, Teredo
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]", "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]", "[2001::7f00:1]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
)  # fmt: skip

URLS: Final = (
    # another host than a reader sees
    "http://api.openai.com@127.0.0.1/", "http://api.openai.com:80@127.0.0.1/",
    "http://127.0.0.1\\@api.openai.com/", "http://api.openai.com\\.attacker.example/",
    "http://127.0.0.1%2f@api.openai.com/", "http://%31%32%37.0.0.1/",
    "http://127\u30020\u30020\u30021/", "http://\u2460\u2461\u2466.0.0.1/",
    "http://\uff4c\uff4fcalhost/", "http://api.openai.com%00.attacker.example/",
    "http://[::1", "http://127.0.0.1:80:80/", "http:///127.0.0.1/", "http:127.0.0.1/",
    "//127.0.0.1/", "/etc/passwd", "http://127.0.0.1\t/", "http://127.0.0.1\r\nHost: x/",
    # other schemes
    "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:6379/_INFO", "unix:///run/x.sock",
    "data:text/plain,hello", "dict://127.0.0.1:11211/stat", "jar:http://127.0.0.1!/",
    "javascript:alert(1)", "ldap://127.0.0.1/",
)  # fmt: skip


def _row(number: int, url: str) -> Attack:
    return Attack(
        f"spelling_{number:02}",
        "SSRF spellings",
        PROMISE,
        "EgressDenied",
        guest="http",
        input=json.dumps({"url": url}),
        allowed_hosts=("*",),
    )


SPELLINGS: Final = tuple(
    _row(number, url) for number, url in enumerate([*(f"http://{h}/" for h in HOSTS), *URLS])
)

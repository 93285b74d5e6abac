"""Which addresses are not public: our own table.

Python's `is_global` says yes to NAT64, 6to4, multicast and 192.0.0.192 and no single property
covers CGNAT (threats.md), so the ranges are written out here. Pure.
"""

from __future__ import annotations

import functools
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
)
from typing import Final

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_V4: Final[tuple[tuple[IPv4Network, str], ...]] = tuple(
    (IPv4Network(text), name)
    for text, name in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "cloud platform"),  # public by number, a cloud's control plane in fact
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.52.193.0/24", "multicast relay"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

_V6: Final[tuple[tuple[IPv6Network, str], ...]] = tuple(
    (IPv6Network(text), name)
    for text, name in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3ffe::/16", "reserved"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)

_GLOBAL_V6: Final = IPv6Network("2000::/3")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_CARRIERS: Final = (
    _MAPPED,
    _NAT64,
    IPv6Network("::/96"),  # v4-compatible
    IPv6Network("::ffff:0:0:0/96"),  # translated (SIIT)
)


def unmap(address: IPAddress) -> IPAddress:
    """The v4 address of a v4-mapped one, which is what a socket connects to; else itself."""
    if isinstance(address, IPv6Address) and address in _MAPPED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def embedded(address: IPAddress) -> list[IPv4Address]:
    """The v4 addresses that a v6 address carries: mapped, compatible, translated, NAT64, 6to4,
    Teredo (server and client) and ISATAP."""
    if isinstance(address, IPv4Address):
        return []
    number = int(address)
    low = IPv4Address(number & 0xFFFF_FFFF)
    if any(address in network for network in _CARRIERS):
        return [low]
    found: list[IPv4Address] = []
    if number >> 112 == 0x2002:
        found.append(IPv4Address(number >> 80 & 0xFFFF_FFFF))
    if number >> 96 == 0x2001_0000:
        found.append(IPv4Address(number >> 64 & 0xFFFF_FFFF))
        found.append(IPv4Address(~number & 0xFFFF_FFFF))
    if (number >> 32 & 0xFFFF_FFFF) & 0xFDFF_FFFF == 0x0000_5EFE:
        found.append(low)
    return found


@functools.lru_cache(maxsize=256)
def range_of(address: IPAddress) -> str | None:
    """The name of the non-public range that `address` lies in, or None for a public one.

    An address that carries another is public only where both are; 6to4 and Teredo never are.
    """
    if isinstance(address, IPv4Address):
        return next((name for network, name in _V4 if address in network), None)
    for network, name in _V6:
        if address in network:
            return name
    if address in _MAPPED or address in _NAT64:
        kind = "v4-mapped" if address in _MAPPED else "NAT64"
        inner = range_of(embedded(address)[0])
        return None if inner is None else f"{kind} {inner}"
    if address not in _GLOBAL_V6:
        return "reserved"
    for carried in embedded(address):
        inner = range_of(carried)
        if inner is not None:
            return f"ISATAP {inner}"
    return None


def within(address: IPAddress, networks: tuple[IPNetwork, ...]) -> bool:
    """Whether `address`, or the v4 address that it is mapped from, lies in one of `networks`."""
    plain = unmap(address)
    return any(
        candidate in network
        for network in networks
        for candidate in (address, plain)
        if candidate.version == network.version
    )

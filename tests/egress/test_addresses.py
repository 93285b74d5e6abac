from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fumehood.egress.addresses import embedded, range_of, unmap, within
from tests.counts import HYPOTHESIS_EXAMPLES


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("0.0.0.0", "unspecified"), ("0.255.255.255", "unspecified"), ("1.0.0.0", None),
        ("9.255.255.255", None), ("10.0.0.0", "private"), ("10.255.255.255", "private"),
        ("11.0.0.0", None), ("100.63.255.255", None), ("100.64.0.0", "carrier-grade NAT"),
        ("100.127.255.255", "carrier-grade NAT"), ("100.128.0.0", None),
        ("126.255.255.255", None), ("127.0.0.0", "loopback"), ("127.255.255.255", "loopback"),
        ("128.0.0.0", None), ("168.63.129.15", None), ("168.63.129.16", "cloud platform"),
        ("168.63.129.17", None), ("169.253.255.255", None), ("169.254.169.254", "link-local"),
        ("169.255.0.0", None), ("172.15.255.255", None), ("172.16.0.0", "private"),
        ("172.31.255.255", "private"), ("172.32.0.0", None), ("192.0.0.192", "reserved"),
        ("192.0.1.0", None), ("192.0.2.7", "documentation"), ("192.0.3.0", None),
        ("192.52.193.1", "multicast relay"), ("192.88.99.1", "6to4 relay"),
        ("192.167.255.255", None), ("192.168.0.1", "private"), ("192.169.0.0", None),
        ("198.17.255.255", None), ("198.18.0.0", "benchmarking"),
        ("198.19.255.255", "benchmarking"), ("198.20.0.0", None),
        ("198.51.100.1", "documentation"), ("203.0.113.9", "documentation"),
        ("223.255.255.255", None), ("224.0.0.1", "multicast"), ("239.255.255.255", "multicast"),
        ("240.0.0.0", "reserved"), ("255.255.255.255", "reserved"), ("8.8.8.8", None),
        ("::", "unspecified"), ("::1", "loopback"), ("::2", "reserved"),
        ("::127.0.0.1", "reserved"), ("::8.8.8.8", "reserved"), ("2606:4700::1111", None),
        ("fc00::1", "unique local"), ("fdff::1", "unique local"), ("fd00:ec2::254", "unique local"),
        ("fe80::1", "link-local"), ("febf::1", "link-local"), ("fec0::1", "site-local"),
        ("ff02::1", "multicast"), ("100::1", "discard"), ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"), ("3fff:1000::", None), ("3ffe::1", "reserved"),
        ("2001::1", "Teredo"), ("2001:0:8:8::", "Teredo"), ("2001:20::1", "reserved"),
        ("2001:200::1", None), ("2002:7f00:1::", "6to4"), ("2002:808:808::1", "6to4"),
        ("::ffff:127.0.0.1", "v4-mapped loopback"), ("::ffff:8.8.8.8", None),
        ("::ffff:169.254.169.254", "v4-mapped link-local"),
        ("64:ff9b::a9fe:a9fe", "NAT64 link-local"), ("64:ff9b::8.8.8.8", None),
        ("64:ff9b:1::8.8.8.8", "local NAT64"), ("::ffff:0:127.0.0.1", "reserved"),
        ("2606:4700::5efe:7f00:1", "ISATAP loopback"),
        ("2606:4700::200:5efe:a00:1", "ISATAP private"), ("2606:4700::5efe:808:808", None),
        ("4000::1", "reserved"), ("1fff::1", "reserved"), ("5f00::1", "reserved"),
    ],
)  # fmt: skip
def test_table(text: str, name: str | None) -> None:
    assert range_of(ip_address(text)) == name


def test_embedded() -> None:
    def found(text: str) -> list[str]:
        return [str(a) for a in embedded(ip_address(text))]

    assert found("127.0.0.1") == []
    assert found("2606:4700::1111") == []
    assert found("::ffff:127.0.0.1") == ["127.0.0.1"]
    assert found("::10.1.2.3") == ["10.1.2.3"]
    assert found("::ffff:0:10.1.2.3") == ["10.1.2.3"]
    assert found("64:ff9b::10.1.2.3") == ["10.1.2.3"]
    assert found("2002:7f00:1::") == ["127.0.0.1"]
    # Teredo: server 65.54.227.120, client 192.0.2.45 inverted (the example of RFC 4380)
    assert found("2001:0000:4136:e378:8000:63bf:3fff:fdd2") == ["65.54.227.120", "192.0.2.45"]
    assert found("fe80::5efe:10.1.2.3") == ["10.1.2.3"]
    assert found("fe80::200:5efe:10.1.2.3") == ["10.1.2.3"]
    assert found("fe80::100:5efe:10.1.2.3") == []


def test_unmap_and_within() -> None:
    mapped = ip_address("::ffff:10.0.0.1")
    assert unmap(mapped) == ip_address("10.0.0.1")
    assert unmap(ip_address("::1")) == ip_address("::1")
    assert unmap(ip_address("1.2.3.4")) == ip_address("1.2.3.4")
    ten = (ip_network("10.0.0.0/8"),)
    assert within(ip_address("10.0.0.1"), ten)
    assert within(mapped, ten)
    assert not within(ip_address("11.0.0.1"), ten)
    assert not within(ip_address("64:ff9b::10.0.0.1"), ten)
    assert not within(ip_address("10.0.0.1"), ())
    assert within(ip_address("fd00::1"), (*ten, ip_network("fd00::/8")))
    assert within(mapped, (ip_network("::ffff:0:0/96"),))


@settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
@given(st.ip_addresses(v=4))
def test_nothing_python_calls_private_is_public_here(address: object) -> None:
    parsed = ip_address(str(address))
    if not parsed.is_global and str(parsed) not in ("192.0.0.9", "192.0.0.10"):
        assert range_of(parsed) is not None


@settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
@given(st.ip_addresses(v=6))
def test_the_same_for_v6(address: object) -> None:
    parsed = ip_address(str(address))
    if not parsed.is_global:
        assert range_of(parsed) is not None

"""Fixtures of the egress tests: a client, grants for loopback, a TLS authority."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from fumehood.egress.client import Client


@pytest.fixture
def client() -> Iterator[Client]:
    with Client() as made:
        yield made


@dataclass
class Authority:
    """A private CA: its file, and server contexts for names."""

    ca: trustme.CA
    file: str

    def server(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    ca = trustme.CA()
    path: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return Authority(ca, str(path))

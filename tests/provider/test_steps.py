"""No step of an event loop takes long, whatever guests, bodies and streams do."""

from __future__ import annotations

import ssl
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme

from fumehood import AsyncProvider
from fumehood.egress.resolver import Check
from fumehood.egress.transport import Network, tls_context
from fumehood.egress.url import IPAddress
from fumehood.provider.aprovider import open_async
from fumehood.provider.opening import Spec
from tests.egress.servers import always, serving
from tests.provider.steps import ATTEMPTS, LONGEST, SCENARIOS, measured


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_no_step_takes_long(name: str) -> None:
    """In a process of its own: here every byte that is sent is searched for keys."""
    command = [sys.executable, "-m", "tests.provider.steps", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert not done.returncode, done.stdout + done.stderr
    assert done.stdout.count("longest step") == 2


@pytest.mark.anyio
async def test_a_bundle_of_authorities_is_read_on_a_thread(
    anyio_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the usual one takes some 20 ms."""
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    content = authority.cert_pem.bytes() + b"".join(
        trustme.CA().cert_pem.bytes() for _ in range(30)
    )
    bundle.write_bytes(content)

    def resolve(self: object, host: str, port: int, check: Check) -> list[IPAddress]:
        return [ip_address("127.0.0.1")]

    monkeypatch.setattr("fumehood.egress.resolver.SystemResolver.resolve", resolve)
    answer = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}'
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.example").configure_cert(context)
    with serving(always(answer), tls=context) as server:
        url = f"https://api.example:{server.port}/v1/"
        spec = Spec(
            plugin="bundled:openai",
            config={"model": "m", "base_url": url, "api_key": "sk-steps-0123456789abcdef"},
            private=("127.0.0.0/8",),
        )
        found = []
        for _ in range(ATTEMPTS):
            tls_context.cache_clear()
            async with measured(anyio_backend) as seen:
                one = await open_async(AsyncProvider, spec, network=Network(ca_file=str(bundle)))
                async with one:
                    assert (await one.chat("x")).text == "hi"
            found.append(seen.longest)
            if found[-1][0] < LONGEST:
                break
        assert min(found)[0] < LONGEST, found

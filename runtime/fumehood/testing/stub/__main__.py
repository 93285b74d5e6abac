"""`python -m fumehood.testing.stub [--port N]`: the stub in a process of its own.

The first line on stdout is its base URL; it serves until it is interrupted.
"""

from __future__ import annotations

import contextlib

import click

from fumehood.testing.stub.server import StubServer


@click.command()
@click.option("--port", type=int, default=0, help="Port on 127.0.0.1; 0 picks a free one.")
@click.option("--api-key", default=None, help="Refuse requests without this key.")
@click.option("--token-delay", type=float, default=0.0, help="Seconds between pieces of a stream.")
def main(port: int, api_key: str | None, token_delay: float) -> None:
    """Serve a stub LLM endpoint on loopback. No model is behind it."""
    stub = StubServer(port=port, api_key=api_key, token_delay=token_delay)
    click.echo(stub.url)
    with contextlib.suppress(KeyboardInterrupt):
        stub.serve()
    stub.close()


if __name__ == "__main__":
    main()

"""Opaque tokens that stand for a secret inside a guest.

A token looks like a key of the same maker, since plugins look at prefixes (`sk-ant-oat…` chooses
another header), and says nothing else about the value, not even its length.
"""

from __future__ import annotations

import random
import string
from typing import Final

CORE_LENGTH: Final = 40
"""Random characters of a token: 238 bits."""

_ALPHABET: Final = string.ascii_letters + string.digits

# Longest first. Public shapes of well-known makers: knowing one tells who made the key, which the
# plugin knows already.
_PREFIXES: Final = tuple(
    sorted(
        (
            "sk-", "sk-proj-", "sk-svcacct-", "sk-admin-", "sk-or-v1-", "sk-ant-",
            "sk-ant-api03-", "sk-ant-oat01-", "sk-ant-admin01-", "sk_", "gsk_", "xai-", "AIza",
            "pplx-", "hf_", "r8_", "nvapi-", "fw_", "csk-", "tvly-", "jina_", "pa-",
        ),
        key=len,
        reverse=True,
    )
)  # fmt: skip


def mint(value: str, rng: random.Random | None = None) -> tuple[str, str]:
    """A token for `value` as (token, core); the core is its random part.

    `rng` makes it reproducible in tests; without one the system's generator is used.
    """
    source = rng or random.SystemRandom()
    core = "".join(source.choice(_ALPHABET) for _ in range(CORE_LENGTH))
    prefix = next((p for p in _PREFIXES if value.startswith(p)), "")
    return prefix + core, core

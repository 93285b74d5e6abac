"""Addresses."""

from __future__ import annotations

from fumehood_pdk._errors import ProviderError
from fumehood_pdk._http import normal_url


def join(base: str, path: str) -> str:
    """`base` and `path` with exactly one slash between: `join("http://h/v1", "models")` and
    `join("http://h/v1/", "/models")` are the same.

    Raises ProviderError (`invalid_url`) unless the result is an absolute http(s) address.
    """
    try:
        return normal_url(f"{base.rstrip('/')}/{path.lstrip('/')}")
    except ProviderError:
        raise ProviderError.invalid_url(
            f"base_url `{base}` must begin with http:// or https:// and name a host"
        ) from None


def host_of(url: str) -> str:
    """The host of an absolute address, lower-case, without port; brackets of IPv6 kept."""
    authority = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    if authority.startswith("["):
        return authority.partition("]")[0].lower() + "]"
    return authority.partition(":")[0].lower()

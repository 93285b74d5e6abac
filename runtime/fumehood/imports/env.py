"""The host functions of `extism:host/env`: config, vars, HTTP and logs (extism-abi.md §1.2, §1.6).

Like the existing hosts these functions own the handles they are given and free them.
"""

from __future__ import annotations

import functools
from typing import Final

from fumehood.abi import jsonwire
from fumehood.abi.http import HTTPRequest, decode_extism_request
from fumehood.engine import HostCall, HostImport
from fumehood.errors import EgressDenied, ProtocolError
from fumehood.imports.log import EXTISM_LEVELS
from fumehood.imports.services import Services

NAMESPACE: Final = "extism:host/env"
_LOGS: Final = ("log_trace", "log_debug", "log_info", "log_warn", "log_error")


def _text(call: HostCall, handle: int, what: str) -> str:
    try:
        return call.read(handle, what).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise ProtocolError(f"the {what} is not UTF-8") from problem


def config_get(call: HostCall, key: int) -> int:
    """A block with the config value, or 0 if it is missing or empty."""
    services: Services = call.services
    value = services.config.get(_text(call, key, "config key"), "")
    call.free(key)
    return call.write(value.encode("utf-8", "surrogatepass"))


def var_get(call: HostCall, key: int) -> int:
    """A block with a copy of the variable, or 0."""
    services: Services = call.services
    value = services.vars.get(_text(call, key, "var key"))
    call.free(key)
    return call.write(value or b"")


def var_set(call: HostCall, key: int, value: int) -> None:
    """Store a copy; a value of handle 0, or an empty one, deletes the key."""
    services: Services = call.services
    name = _text(call, key, "var key")
    services.vars.set(name, call.read(value, "var value"))
    call.free(key)
    call.free(value)


def http_request(call: HostCall, request: int, body: int) -> int:
    """One exchange under the plugin's grant; the reply's body, or 0 if it is empty (§3.5).

    Denial and transport failures stop the guest; a status of 400 or more is an answer.
    """
    services: Services = call.services
    services.http_status = 0
    services.http_headers = ()
    method, url, headers = decode_extism_request(call.read(request, "http request"))
    call.free(request)
    data = call.read(body, "http request body")
    if services.client is None or services.grant is None:
        raise EgressDenied("this plugin has no network", reason="host", hint="grant a host")
    reply = services.client.send(
        HTTPRequest(method=method, uri=url, headers=tuple(headers), body=data),
        services.grant,
        call.meter,
        secrets=services.secrets,
        follow=services.follow,
    )
    call.free(body)
    services.http_status = reply.status
    services.http_headers = reply.headers
    return call.write(reply.body)


def http_status_code(call: HostCall) -> int:
    """The status of the last request, 0 if there was none."""
    services: Services = call.services
    return services.http_status


def http_headers(call: HostCall) -> int:
    """The last reply's headers as a JSON object of strings, or 0 where that is off.

    Values of one name are joined with `, `, those of `set-cookie` with a line feed.
    """
    services: Services = call.services
    if not services.response_headers or not services.http_status:
        return 0
    joined: dict[str, str] = {}
    for name, value in services.http_headers:
        if name in joined:
            joined[name] += ("\n" if name == "set-cookie" else ", ") + value
        else:
            joined[name] = value
    return call.write(jsonwire.encode(joined))


def _log(level: int, call: HostCall, message: int) -> None:
    services: Services = call.services
    if services.log.logger.isEnabledFor(level):
        services.write_log(call.meter, level, call.read(message, "log message"))
    call.free(message)


def get_log_level(call: HostCall) -> int:
    """trace 0 … error 4, or i32::MAX where nothing would be logged."""
    services: Services = call.services
    return services.log.extism_level()


def imports() -> list[HostImport]:
    """All of the namespace that is not the kernel's."""
    return [
        HostImport(NAMESPACE, "config_get", "I", "I", config_get),
        HostImport(NAMESPACE, "var_get", "I", "I", var_get),
        HostImport(NAMESPACE, "var_set", "II", "", var_set),
        HostImport(NAMESPACE, "http_request", "II", "I", http_request, timed=True),
        HostImport(NAMESPACE, "http_status_code", "", "i", http_status_code),
        HostImport(NAMESPACE, "http_headers", "", "I", http_headers),
        HostImport(NAMESPACE, "get_log_level", "", "i", get_log_level),
        *(
            HostImport(NAMESPACE, name, "I", "", functools.partial(_log, level))
            for name, level in zip(_LOGS, EXTISM_LEVELS, strict=True)
        ),
    ]

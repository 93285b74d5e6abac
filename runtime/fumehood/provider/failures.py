"""What a guest's failure means, and what a remote refusal means (provider-abi.md §5)."""

from __future__ import annotations

import logging
from typing import Any

from fumehood.abi import calls, payloads, status
from fumehood.abi.http import HTTPResponse
from fumehood.errors import (
    Error,
    LimitError,
    PluginError,
    ProtocolError,
    Trap,
    clip,
)
from fumehood.provider.effects import Call, Op
from fumehood.provider.traits import Traits

log = logging.getLogger("fumehood.provider")

Config = dict[str, Any]


def call(export: str, data: bytes) -> Op[bytes]:
    """Call an export; a failure that the guest reported is raised as what it says."""
    try:
        answer: bytes = yield Call(export, data)
    except PluginError as failure:
        raise interpret(failure) from failure
    except Trap as trap:
        if export not in trap.message:
            trap.message = f"{export}: {trap.message or trap.reason}"
        raise
    return answer


def interpret(failure: PluginError) -> Error:
    """The typed error inside the text of `failure`; `failure` itself where there is none."""
    payload = payloads.decode_failure(failure.message, failure.rc)
    if payload is None:
        return failure
    error = payloads.to_error(payload)
    error.plugin = failure.plugin
    error.receipt = failure.receipt
    error.guest_error = clip(failure.message)
    error.hint = error.hint or failure.hint
    if isinstance(error, PluginError):
        error.rc = failure.rc
    return error


def refusal(traits: Traits, cfg: calls.Config, reply: HTTPResponse, *, chat: bool) -> Op[Error]:
    """The error for a reply that is no success.

    The plugin classifies refused chats if it can (`classify_chat_error`); everything else, and
    a plugin that fails at it, goes by the status tables of §5.4.
    """
    payload = status.classify(reply.status, reply.headers, reply.body, chat=chat)
    said: str | None = None
    if chat and "classify_chat_error" in traits.exports:
        try:
            answer: bytes = yield Call(
                "classify_chat_error", calls.resp_input(cfg, reply, traits.wire)
            )
            own = payloads.decode_failure(answer.decode("utf-8"), 1)
            if own is None:
                said = clip(answer.decode("utf-8"))
            else:
                payload = own
        except LimitError:
            raise
        except (PluginError, ProtocolError, Trap) as failure:
            log.debug("classify_chat_error failed: %r", failure.message)
            said = clip(failure.message)
        except UnicodeDecodeError:
            said = "classify_chat_error answered with text that is not UTF-8"
    error = payloads.to_error(payload, status=reply.status)
    error.guest_error = error.guest_error or said
    return error


def unsupported(operation: str, why: str) -> PluginError:
    """The error for an operation that the plugin does not have."""
    return PluginError(f"{operation} is not supported: {why}", rc=-1)

"""Detection of generation and mode (provider-abi.md §0.1)."""

import pytest

from fumehood.errors import UsageError
from fumehood.provider.traits import PARSER_EXPORTS, SPLIT_EXPORTS, Mode, detect

USER = "extism:host/user"
ENV = "extism:host/env"


def test_all_five_exports_mean_split_mode_even_beside_direct_ones() -> None:
    assert detect([*SPLIT_EXPORTS, "chat"], []).mode is Mode.SPLIT
    for missing in SPLIT_EXPORTS:
        assert detect(SPLIT_EXPORTS - {missing}, []).mode is Mode.DIRECT
    assert detect(SPLIT_EXPORTS, []).generation == "C"
    assert detect(SPLIT_EXPORTS | {"classify_chat_error"}, []).generation == "C+"


@pytest.mark.parametrize(
    ("exports", "imports", "generation"),
    [
        (["chat"], [(ENV, "http_request")], "A"),
        (["chat"], [(ENV, "http_request"), (USER, "qmt_log")], "B"),
        (["chat", "init_logging"], [(ENV, "http_request")], "B"),
        (["chat", "supports_streaming"], [(ENV, "http_request")], "B"),
        (["chat"], [], "B"),
        (["chat"], [(USER, "http_request")], "B"),
    ],
)
def test_direct_generations(
    exports: list[str], imports: list[tuple[str, str]], generation: str
) -> None:
    assert detect(exports, imports).generation == generation


def test_override() -> None:
    assert detect(["chat"], [], "A").gen_a
    assert detect(SPLIT_EXPORTS, [], "B").mode is Mode.DIRECT
    assert detect(SPLIT_EXPORTS, [], "C").mode is Mode.SPLIT
    with pytest.raises(UsageError, match="needs the export 'chat_request'"):
        detect(["chat"], [], "C")
    with pytest.raises(UsageError, match="'Z'"):
        detect(["chat"], [], "Z")  # type: ignore[arg-type]


def test_capabilities_are_the_exports() -> None:
    assert detect(SPLIT_EXPORTS, []).capabilities == {"chat", "list_models"}
    assert "chat_stream" in detect(SPLIT_EXPORTS | PARSER_EXPORTS, []).capabilities
    half = SPLIT_EXPORTS | {"embed_request", "complete_request", "parse_complete_response"}
    assert detect(half | {"speech"}, []).capabilities == {
        "chat", "list_models", "complete", "speech",
    }  # fmt: skip
    assert detect(["chat", "embed", "chat_stream"], []).capabilities == {"chat", "embed"}
    both = ["chat_stream", "supports_streaming", "transcribe"]
    assert detect(both, []).capabilities == {"chat_stream", "transcribe"}

"""Every case that fuzzing found is run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuzz import corpus
from fuzz.targets import TARGETS
from tests.toolchains import missing


@pytest.mark.timeout(900)  # the Rust tools may have to be built first
@pytest.mark.parametrize("path", corpus.files(), ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    name, case = corpus.load(path)
    target = TARGETS[name]
    if name == "trips" and (reason := target.missing()):
        missing("the guest of fuzz/guest", reason)
    target.check(case)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    case = {"data": "5b"}
    kept = corpus.save("codecs", case, "why", tmp_path)
    assert kept == corpus.save("codecs", case, "again", tmp_path)
    assert corpus.load(kept) == ("codecs", case)
    assert json.loads(kept.read_text("utf-8"))["about"] == "why"
    assert not corpus.FOLDER.joinpath(kept.name).exists()

"""The gallery's table is sound: every row has a guest, every guest a row, every error exists."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from fumehood import errors
from fumehood.testing.gallery import DEMO, GALLERY, HARMLESS, Attack, find, source

NEIGHBOURS = {"tools", "well_behaved"}


def test_names_are_unique_and_the_demo_is_among_them() -> None:
    names = [attack.name for attack in GALLERY]
    assert len(names) == len(set(names)) >= 60
    assert set(DEMO) <= set(names)
    assert find("endless_loop").expect == "Timeout"
    with pytest.raises(KeyError):
        find("no_such_attack")


def test_every_guest_is_used_and_says_what_it_does() -> None:
    folder = Path(str(files("fumehood.testing.gallery"))) / "guests"
    there = {f.name.removesuffix(".wat") for f in folder.iterdir() if f.name.endswith(".wat")}
    used = {attack.guest or attack.name for attack in GALLERY if attack.run is None}
    staged = {attack.guest for attack in GALLERY if attack.run is not None} - {""}
    assert used | staged <= there - NEIGHBOURS
    unused = there - NEIGHBOURS - used - staged
    code = "".join(f.read_text() for f in folder.parent.iterdir() if f.name.endswith(".py"))
    assert [name for name in unused if f'"{name}"' not in code] == []
    for name in there - {"tools"}:
        assert source(name).startswith(";; "), name


@pytest.mark.parametrize("attack", GALLERY, ids=lambda attack: attack.name)
def test_rows_are_complete(attack: Attack) -> None:
    assert attack.group
    assert attack.promise.endswith(".")
    if attack.expect != HARMLESS:
        assert issubclass(getattr(errors, attack.expect), errors.Error)
        assert attack.answer is None
    assert attack.operation.deadline <= 20


def test_a_guest_is_found_by_name_only() -> None:
    for name in ("../table", "tools.wat", "", "no_such_guest"):
        with pytest.raises(ValueError, match="guest"):
            source(name)

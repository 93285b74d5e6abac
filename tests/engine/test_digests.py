"""Digests: right for whatever they are asked of, computed once for what is asked again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import pytest

from fumehood.engine import digests
from fumehood.engine.digests import digest_of


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_known", OrderedDict())
    monkeypatch.setattr(digests, "_ids", {})


def test_an_object_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source = bytes(range(256)) * 9
    expected = hashlib.sha256(source).hexdigest()
    assert digest_of(source) == expected

    def never(data: bytes) -> None:
        raise AssertionError("it is known")

    monkeypatch.setattr(hashlib, "sha256", never)
    assert digest_of(source) == expected
    with pytest.raises(AssertionError):
        digest_of(bytes(bytearray(source)))  # equal, but another object


def test_what_can_change_is_hashed_each_time() -> None:
    source = bytearray(b"before")
    first = digest_of(source)  # type: ignore[arg-type]  # what a caller may do all the same
    source[:] = b"after!"
    assert digest_of(source) != first  # type: ignore[arg-type]
    assert not digests._ids


def test_identities_are_kept_only_with_their_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_KEPT", 3)
    for number in range(2000):  # objects whose addresses are used again and again
        source = b"module %d" % (number % 7)
        assert digest_of(source) == hashlib.sha256(source).hexdigest()
        assert len(digests._known) <= 3
        assert digests._ids == {id(kept): digest for digest, kept in digests._known.items()}


def test_of_equal_objects_the_last_is_kept() -> None:
    objects = [bytes(bytearray(b"the same")) for _ in range(5)]
    assert len({digest_of(one) for one in objects}) == 1
    assert [id(kept) for kept in digests._known.values()] == [id(objects[-1])]


def test_what_is_kept_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_KEPT_BYTES", 100)
    digest_of(bytes(101))
    assert not digests._known
    for size in (40, 41, 42):
        digest_of(bytes(size))
    assert [len(kept) for kept in digests._known.values()] == [41, 42]

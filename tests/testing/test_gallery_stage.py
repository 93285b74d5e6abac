"""What the gallery's staged rows look for they do find: with a promise broken, rows say so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fumehood.egress import transport
from fumehood.egress.scrub import Scrubber, ScrubStream
from fumehood.engine import cache
from fumehood.testing.gallery import HARMLESS, Attack, find
from fumehood.testing.gallery import run as runner
from fumehood.testing.gallery.run import GRACE, contain, contain_in_time
from fumehood.testing.gallery.stage import Outcome, Stage
from fumehood.testing.gallery.tenants import CLEAN, SECRET


def test_a_breach_is_told() -> None:
    def attack(stage: Stage) -> None:
        stage.require(True, "nothing")
        stage.require(stage.limits.deadline > 100, "it reached the vault")

    end = contain(Attack("row", "none", "It holds.", HARMLESS, run=attack))
    assert (end.contained, end.why) == (False, "it reached the vault")


def test_the_time_is_the_longest_timed_part() -> None:
    outcome = Outcome()
    with outcome.whole():
        with outcome.timed():
            sum(range(200_000))
        longest = outcome.seconds
        with outcome.timed():
            pass
    assert outcome.seconds == longest
    untimed = Outcome()
    with untimed.whole():
        pass
    assert untimed.seconds > 0


def test_what_is_late_is_tried_again_and_what_is_wrong_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = contain(find("no_grant_at_all"))
    late = replace(end, seconds=end.attack.operation.deadline + 2 * GRACE)
    ends = [late, late, end]
    monkeypatch.setattr(runner, "contain", lambda _attack, _url: ends.pop(0))
    assert contain_in_time(end.attack) is end
    ends += [replace(late, why="it got through"), end]
    assert contain_in_time(end.attack).why == "it got through"
    ends[:] = [late] * 10
    assert contain_in_time(end.attack, tries=3) is late


def test_the_hunt_finds_what_was_planted() -> None:
    with Stage(find("leak_beside"), Outcome()) as stage:
        kept = stage.guest()
        kept.call(SECRET, "plant")
        seen = kept.call(b"", "hunt")
    # its own memory, the variable: of what it is meant to keep it finds each
    assert len(seen) == len(CLEAN)
    assert (seen[0:1], seen[1:2], seen[5:6]) == (b"1", b"1", b"1")


@pytest.mark.parametrize("name", ["reflected_exact", "reflected_base64_1", "reflected_percent"])
def test_an_unscrubbed_reply_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scrubber, "scrub", lambda _self, data: data)
    assert "the guest saw" in contain(find(name)).why


def test_an_unscrubbed_stream_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScrubStream, "feed", lambda _self, chunk: chunk)
    assert "the guest saw" in contain(find("reflected_split_json_text_7")).why


@pytest.mark.parametrize("name", ["rebinding_loopback", "redirect_to_private_name"])
def test_a_dialled_private_address_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "decide_address", lambda _grant, _url, _address: None)
    why = contain(find(name)).why
    assert "was dialled" in why or "was reached" in why


def test_a_loaded_forgery_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.hmac, "compare_digest", lambda _one, _other: True)
    assert contain(find("cache_other_module")).why == "it was loaded"


def test_requests_that_were_answered_are_counted() -> None:
    row = replace(find("host_not_granted"), replies=1)
    assert contain(row).why == "0 requests were answered, not 1"

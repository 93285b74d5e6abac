"""The demo shows what it says, and its exit code tells when something was not as expected."""

from __future__ import annotations

import json

import pytest

from fumehood.cli import demo
from fumehood.testing.gallery import DEMO, GALLERY, HARMLESS, Attack, find
from fumehood.testing.stub import Reply
from tests.cli.support import Run


def test_the_demo_runs(run: Run) -> None:
    ran = run("demo")
    assert (ran.code, ran.err) == (0, "")
    assert "This is the stub endpoint, no model is behind it." in ran.out
    assert "fuel" in ran.out
    for name in DEMO:
        assert name in ran.out
    assert "3 of 3 hostile guests contained; this process is well." in ran.out
    assert "NOT AS EXPECTED" not in ran.out


def test_the_demo_as_json(run: Run) -> None:
    ran = run("demo", "--json")
    assert ran.code == 0
    document = json.loads(ran.out)
    assert document["pieces"] > 5
    assert document["receipt"]["http"][0]["status"] == 200
    assert [attack["name"] for attack in document["attacks"]] == list(DEMO)
    assert all(attack["contained"] for attack in document["attacks"])
    assert document["wrong"] == []
    assert "hostile guests contained" in ran.err


def test_all_attacks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = GALLERY[::8]  # tests/attacks runs all of them
    monkeypatch.setattr(demo, "GALLERY", rows)
    ran = run("demo", "--attacks", "--json")
    document = json.loads(ran.out)
    attacks = document["attacks"]
    assert [attack["name"] for attack in attacks] == [attack.name for attack in rows]
    assert all(f"Hostile guests: {attack.group}" in ran.err for attack in rows)
    # tests/attacks is strict about time; here a busy machine may be late
    assert [problem for problem in document["wrong"] if not problem.endswith("too late")] == []


def test_an_attack_that_gets_through_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    tame = Attack("tame", "none", "It should have been stopped.", "Timeout", guest="well_behaved")
    loud = Attack("loud", "none", "It should have been quiet.", HARMLESS, guest="unreachable")
    late = Attack("late", "none", "It should end in time.", "Timeout", guest="endless_loop")
    rows = {"tame": tame, "loud": loud, "late": late, "endless_loop": find("endless_loop")}
    monkeypatch.setattr(demo, "find", rows.__getitem__)
    monkeypatch.setattr(demo, "DEMO", ("tame", "loud", "endless_loop"))
    ran = run("demo")
    assert ran.code == 6
    assert "1 of 3 hostile guests contained" in ran.out
    assert "NOT AS EXPECTED: tame: it ran to its end where Timeout was due" in ran.out
    assert "NOT AS EXPECTED: loud: Trap where it should have run to its end" in ran.out
    monkeypatch.setattr(demo, "DEMO", ("late",))
    monkeypatch.setattr(demo, "GRACE", -0.2)
    ran = run("demo")
    assert ran.code == 6
    assert "too late" in ran.out


def test_a_wrong_answer_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b'data: {"choices":[{"index":0,"delta":{"content":"no"},"finish_reason":"stop"}]}\n\n'

    class Wrong(demo.StubServer):
        def start(self) -> Wrong:
            self.behave(Reply(200, (("content-type", "text/event-stream"),), data))
            super().start()
            return self

    monkeypatch.setattr(demo, "StubServer", Wrong)
    ran = run("demo")
    assert ran.code == 6
    assert "NOT AS EXPECTED: the answer came in 1 pieces: it did not stream" in ran.out
    assert "NOT AS EXPECTED: the answer is not what the stub said" in ran.out


def test_without_the_extra_the_error_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fumehood.testing.llm.find_spec", lambda _name: None)
    ran = run("demo", "--llm")
    assert ran.code == 2
    assert 'pip install "fumehood[local]"' in ran.err

"""The benchmark runs, alternates, and reports what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import picture, report, targets
from bench.__main__ import GROUPS
from bench.groups import full, providers
from bench.report import Row
from bench.run import ROOT, Worker, alike, order
from bench.sides import documents
from bench.sides.chats import as_json
from bench.sides.side import payload
from bench.worker import Service, find

SAMPLE = {"wall": 0.5, "cpu": 0.25}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What a quick run of everything says, and the folder of its results."""
    folder = tmp_path_factory.mktemp("results")
    guest = ROOT / "bench" / "guests" / "echo.wat"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--guest", guest, "--out", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


pytestmark = pytest.mark.xdist_group("bench")


@pytest.mark.timeout(600)
def test_a_quick_run_measures_every_group(quick: tuple[str, Path]) -> None:
    said, folder = quick
    results = json.loads((folder / "results.json").read_text())
    titles = [section["title"] for section in results["sections"]]
    assert titles == [module.TITLE for module, _rows in GROUPS.values()]
    keys = [row["key"] for section in results["sections"] for row in section["rows"]]
    assert len(keys) == len(set(keys)) > 35
    for section in results["sections"]:
        assert section["rows"]
        for row in section["rows"]:
            assert row["row"] in said
            for clock, sides in row["seconds"].items():
                for side, found in sides.items():
                    quartiles = [found[name] for name in ("min", "q1", "median", "q3", "max")]
                    assert quartiles == sorted(quartiles)
                    assert quartiles[0] > 0 or clock == "cpu"  # its clock is coarse
                    first = next(iter(sides.values()))["median"]
                    if first:
                        assert row["ratio"][clock][side] == pytest.approx(found["median"] / first)
            assert all(len(why) > 10 for why in row["absent"].values())
    assert results["machine"]["guest"] == "echo.wat"
    page = (folder / "RESULTS.md").read_text()
    assert all(f"## {title}" in page for title in titles)
    assert "| small call, 11 B | fumehood |" in page


@pytest.mark.timeout(600)
def test_every_target_is_judged_by_rows_that_are_there(quick: tuple[str, Path]) -> None:
    said, folder = quick
    results = json.loads((folder / "results.json").read_text())
    judged = {line["what"]: line for line in results["targets"]}
    assert list(judged) == [target.what for target in targets.TARGETS]
    absent = {row["key"] for s in results["sections"] for row in s["rows"] if row["absent"]}
    for what, line in judged.items():
        assert what in said
        if line["measured"] == "not measured":
            # a row is missing for a reason that the table tells, or it needs the slow run
            assert absent or "bulk" in what


@pytest.mark.timeout(600)
def test_nothing_fails_at_256_chats_at_once(quick: tuple[str, Path]) -> None:
    _said, folder = quick
    results = json.loads((folder / "results.json").read_text())
    rows = {row["key"]: row for section in results["sections"] for row in section["rows"]}
    for concurrency in full.CONCURRENCY:
        for kind in ("sync", "async"):
            more = rows[f"full.{kind}.{concurrency}"]["more"]["fumehood"]
            assert more["failures"] == 0
            assert 0 < more["p50_s"] <= more["p99_s"]


@pytest.mark.timeout(600)
def test_the_picture_is_svg_with_a_bar_for_every_time(quick: tuple[str, Path]) -> None:
    _said, folder = quick
    root = ET.fromstring((folder / "RESULTS.svg").read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "small call, 11 B" in texts
    results = json.loads((folder / "results.json").read_text())
    timed = [
        side
        for section in results["sections"]
        for row in section["rows"]
        if len(row["seconds"].get("wall", {})) > 1
        for side in row["seconds"]["wall"]
    ]
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == len(timed) + 1


def test_texts_in_the_picture_are_escaped() -> None:
    row = report.row("k", "a < b & 'c'", {"x": [SAMPLE], "<y>": [SAMPLE]})
    root = ET.fromstring(picture.draw([("t", [row])], "c & d"))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b & 'c'", "<y>", "c & d"} <= set(texts)


def test_bars_are_as_long_as_the_times_are() -> None:
    sides = {"x": [{**SAMPLE, "wall": 1.0}], "y": [{**SAMPLE, "wall": 4.0}]}
    root = ET.fromstring(picture.draw([("t", [report.row("k", "n", sides)])], "c"))
    _ground, short, long = root.iter("{http://www.w3.org/2000/svg}rect")
    assert float(long.attrib["width"]) == pytest.approx(4 * float(short.attrib["width"]))


def test_one_group_writes_nothing(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "bench").glob("*.md")}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--only", "hostcalls"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "guest → Python host function" in done.stdout
    assert "small call" not in done.stdout.partition("Targets")[0]
    assert before == {path: path.stat().st_mtime_ns for path in (ROOT / "bench").glob("*.md")}


# -- the parts -------------------------------------------------------------------------------------


def test_the_first_side_changes_every_turn() -> None:
    sides = ("a", "b", "c")
    assert order(0, sides) == list(reversed(order(1, sides))) == order(2, sides)


def test_sides_that_answer_differently_are_no_comparison() -> None:
    class Says(Worker):
        def __init__(self, size: int) -> None:
            self.size = size

        def ask(self, request: object) -> dict[str, int]:
            return {"size": self.size, "crc": 0}

    with pytest.raises(RuntimeError, match="b answers"):
        alike({"a": Says(1), "b": Says(2)}, {"work": "call"})
    alike({"a": Says(1), "b": Says(1)}, {"work": "call"})


def test_a_job_that_changes_its_answer_is_no_measurement() -> None:
    class Fickle:
        def job(self, work: str) -> object:
            answers = iter([b"first", b"first", b"second"])
            return lambda: next(answers)

    service = Service(Fickle())  # type: ignore[arg-type]  # all of a side that it needs
    assert service.answer({"work": "x", "times": 0})["size"] == 5
    assert set(service.answer({"work": "x", "times": 1})) == {"wall", "cpu"}
    with pytest.raises(SystemExit, match="something else"):
        service.answer({"work": "x", "times": 1})


@pytest.mark.parametrize("name", ["calls:Fumehood", "hostcalls:Wasmtime", "full:Raw"])
def test_sides_are_found_by_name(name: str) -> None:
    assert find(name).__name__ == name.partition(":")[2]


def test_a_ratio_says_how_much_longer_the_peer_takes() -> None:
    row = report.row("k", "n", {"ours": [SAMPLE], "peer": [{"wall": 1.5, "cpu": 0.5}]}, per=10)
    assert row.median("ours") == 0.05
    assert (row.ratio("peer"), row.ratio("peer", clock="cpu")) == (pytest.approx(3), 2)
    first, second = report.cells(row)
    assert first[:2] == ("n", "ours")
    assert first[-2:] == ("—", "—")
    assert second[0] == ""
    assert second[-2:] == ("3.00×", "2.00×")


def test_who_is_absent_is_a_line_with_a_reason() -> None:
    row = report.row("k", "n", {"ours": [SAMPLE]}, {"native Rust": "there is no cargo"})
    assert list(report.cells(row))[1] == (
        "", "native Rust", "not measured: there is no cargo", "—", "—",
    )  # fmt: skip
    nobody = Row("k", "n", absent={"fumehood": "reason"})
    assert [cells[:2] for cells in report.cells(nobody)] == [("n", "fumehood")]


def test_median_and_quartiles() -> None:
    summary = report.summary([5.0, 1.0, 3.0, 2.0, 4.0])
    assert summary == {"median": 3.0, "q1": 2.0, "q3": 4.0, "min": 1.0, "max": 5.0}
    assert set(report.summary([2.0]).values()) == {2.0}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.5, "2.5 s"),
        (0.0123, "12.3 ms"),
        (0.5, "500 ms"),
        (2.449e-6, "2.45 µs"),
        (3e-9, "3 ns"),
        (-5e-6, "-5 µs"),
    ],
)
def test_times_have_three_digits(value: float, text: str) -> None:
    assert report.seconds(value) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("chats_per_s", 1234.5, "1,234/s"),
        ("resident_bytes", 2048, "2 KiB"),
        ("p99_s", 0.25, "250 ms"),
        ("failures", 0, "0"),
    ],
)
def test_numbers_have_the_unit_of_their_name(name: str, value: float, text: str) -> None:
    assert report.quantity(name, value) == text


def test_payloads_have_their_size() -> None:
    assert len(payload(11)) == 11
    assert len(payload(1 << 20)) == 1 << 20
    assert len(set(payload(100))) > 50


def test_messagepack_becomes_json_with_decimal_bytes() -> None:
    import msgpack

    packed = msgpack.packb({"body": b"\x00\xff", "text": "ä"})
    assert as_json(packed) == '{"body":[0,255],"text":"ä"}'.encode()
    for text in (b'{"a":1}', b"[1]", b"null", b"7", b'"x"'):
        assert as_json(text) == text


def test_the_cases_are_what_they_are_called() -> None:
    assert len(documents.conversation("short")) == 1
    assert len(documents.conversation("long")) == 50
    (question,) = documents.conversation("image")
    assert len(question.content[1].data) == 1_000_000
    roles = [message.role for message in documents.conversation("long")]
    assert roles == ["User", "Assistant"] * 24 + ["User", "User"]


# -- the targets -----------------------------------------------------------------------------------


def _row(key: str, **medians: float) -> Row:
    samples = {side.replace("_", " "): [{"wall": m, "cpu": m}] for side, m in medians.items()}
    return report.row(key, key, samples)


def _judged(*rows: Row) -> dict[str, targets.Line]:
    return {line["what"]: line for line in targets.outcomes(rows)}


def test_a_target_is_met_or_not_by_the_medians() -> None:
    what = "small call against extism"
    met = _judged(_row("call.small", fumehood=1.0, extism=7.0))[what]
    assert (met["measured"], met["met"]) == ("7.00×", True)
    missed = _judged(_row("call.small", fumehood=1.0, extism=6.9))[what]
    assert (missed["measured"], missed["met"]) == ("6.90×", False)
    none = _judged()[what]
    assert (none["measured"], none["met"]) == ("not measured", None)
    assert "**no**" in "\n".join(targets.section([missed]))


def test_two_figures_are_met_together() -> None:
    what = "fresh instance + call against extism: as shipped / pooled"
    shipped = _row("fresh", fumehood=1.0, extism=3.5)
    assert _judged(shipped)[what]["met"] is None
    for pooled, met in ((5.0, True), (4.0, False)):
        line = _judged(shipped, _row("fresh.pooled", fumehood=1.0, extism=pooled))[what]
        assert (line["measured"], line["met"]) == (f"3.50× / {pooled:.2f}×", met)


def test_the_native_bound_is_one_and_a_half_times_plus_30_us() -> None:
    what = "the same against its source run natively, kept"
    row = _row("chat.openai.short.kept", fumehood=44e-6, native_Rust=10e-6)
    assert _judged(row)[what]["met"] is True
    row = _row("chat.openai.short.kept", fumehood=46e-6, native_Rust=10e-6)
    assert _judged(row)[what]["met"] is False


@pytest.mark.parametrize(
    ("failures", "p99", "sdk", "met"),
    [(0, 4.0, 10.0, True), (1, 4.0, 10.0, False), (0, 5.0, 10.0, False), (0, 4.0, 15.0, False)],
)
def test_the_crowd_is_judged_by_failures_spread_and_throughput(
    failures: float, p99: float, sdk: float, met: bool
) -> None:
    row = _row("full.async.256", fumehood=1.0, openai_SDK=1.0)
    row.more = {
        "fumehood": {"p50_s": 1.0, "p99_s": p99, "chats_per_s": 20.0, "failures": failures},
        "openai SDK": {"p50_s": 1.0, "p99_s": 2.0, "chats_per_s": sdk, "failures": 0},
    }
    (line,) = [each for each in targets.outcomes([row]) if each["what"].startswith("256")]
    assert line["met"] is met


def test_memory_and_hardening_have_bounds() -> None:
    rows = [Row(key, key, more={"fumehood": {"resident_bytes": 200 * 1024.0}})
            for key in ("memory.small", "memory.bundled")]  # fmt: skip
    rows.append(_row("hardening", everything_on=1.2, without_the_audit=1.05, bare=1.0))
    rows[-1].more = {"everything on": {"cost_s": 0.2}, "without the audit": {"cost_s": 0.05}}
    judged = _judged(*rows)
    hardening = judged["what the hardening costs a provider call: as shipped / with an audit"]
    assert judged["idle instance: small guest / bundled openai"]["met"] is True
    assert (hardening["measured"], hardening["met"]) == ("5.0% / 20.0%", False)


def test_the_bulk_path_is_shown_beside_its_two_copies() -> None:
    rows = [
        _row(key, fumehood=1.0, extism=9.0, two_copies=0.75)
        for key in ("bulk.1 MiB", "bulk.16 MiB")
    ]
    (line,) = [each for each in targets.outcomes(rows) if "bulk path" in each["what"]]
    told = "9.00× (the copies alone 12.0×)"
    assert (line["measured"], line["met"]) == (f"{told} / {told}", False)


def test_a_file_that_is_not_built_is_missing_in_a_quick_run(tmp_path: Path) -> None:
    with pytest.raises(providers.Missing, match="not built"):
        providers._there(tmp_path / "none.wasm")

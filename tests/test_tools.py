"""The scripts that set a machine up say what is missing, and count honestly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toolchains import ROOT


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH with a shell and nothing that this project needs."""
    for name in ("bash", "sh", "dirname"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    return str(tmp_path)


class TestFindPython:
    def test_finds_one_that_is_new_enough(self) -> None:
        found = run(ROOT / "tools" / "find-python")
        assert found.returncode == 0
        version = run(found.stdout.strip(), "-c", "import sys; print(sys.version_info >= (3, 11))")
        assert version.stdout.strip() == "True"

    def test_takes_the_one_that_is_named(self) -> None:
        assert run(ROOT / "tools" / "find-python", sys.executable).stdout.strip() == sys.executable

    def test_says_what_is_missing(self, bare_path: str) -> None:
        found = run(ROOT / "tools" / "find-python", PATH=bare_path)
        assert found.returncode == 1
        assert "needs Python 3.11" in found.stderr
        assert "make PYTHON=" in found.stderr

    def test_passes_over_one_that_is_too_old(self, tmp_path: Path) -> None:
        old = tmp_path / "old-python"
        old.write_text("#!/bin/sh\nexit 1\n")
        old.chmod(0o755)
        assert run(ROOT / "tools" / "find-python", old).returncode == 1


class TestCheckRust:
    def test_without_cargo_it_says_so_and_passes(self, bare_path: str) -> None:
        done = run(ROOT / "tools" / "check-rust", PATH=bare_path, CI="")
        assert done.returncode == 0
        assert "SKIPPED: Rust checks (fmt, clippy, test): no cargo on PATH" in done.stdout

    def test_without_cargo_it_fails_in_ci(self, bare_path: str) -> None:
        done = run(ROOT / "tools" / "check-rust", PATH=bare_path, CI="true")
        assert done.returncode == 1
        assert "no cargo on PATH" in done.stderr


class TestWasip1Toolchain:
    def test_one_that_is_in_place_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / ".ready").touch()
        done = run(ROOT / "tools" / "wasip1-toolchain", tmp_path)
        assert done.returncode == 0
        assert "is in place" in done.stdout


class TestTotal:
    def total(self, folder: Path, failed_stages: int) -> subprocess.CompletedProcess[str]:
        return run(sys.executable, ROOT / "tools" / "ci_total.py", folder, str(failed_stages))

    def report(self, path: Path, tests: int, failures: int, errors: int, skipped: int) -> None:
        path.write_text(
            f'<testsuites><testsuite name="pytest" tests="{tests}" failures="{failures}" '
            f'errors="{errors}" skipped="{skipped}"></testsuite></testsuites>'
        )

    def test_adds_up(self, tmp_path: Path) -> None:
        self.report(tmp_path / "a.xml", 10, 0, 0, 1)
        self.report(tmp_path / "b.xml", 5, 0, 0, 0)
        done = self.total(tmp_path, 0)
        assert done.stdout == "14 passed, 0 failed, 1 skipped\n"
        assert done.returncode == 0

    def test_counts_failures_and_errors(self, tmp_path: Path) -> None:
        self.report(tmp_path / "a.xml", 10, 2, 1, 0)
        done = self.total(tmp_path, 1)
        assert done.stdout == "7 passed, 3 failed, 0 skipped\n"
        assert done.returncode == 1

    def test_names_what_failed(self, tmp_path: Path) -> None:
        (tmp_path / "test.xml").write_text(
            '<testsuites><testsuite tests="2" failures="1"><testcase classname="tests.a" name="b">'
            '<failure message="assert 1 == 2&#10;more"/></testcase>'
            '<testcase classname="tests.a" name="c"/></testsuite></testsuites>'
        )
        assert self.total(tmp_path, 1).stdout.splitlines() == [
            "test: tests.a::b: 'assert 1 == 2\\nmore'",
            "1 passed, 1 failed, 0 skipped",
        ]

    def test_a_failed_stage_without_a_failed_test_counts(self, tmp_path: Path) -> None:
        self.report(tmp_path / "a.xml", 10, 0, 0, 0)
        done = self.total(tmp_path, 1)
        assert done.stdout == "10 passed, 1 failed, 0 skipped\n"
        assert done.returncode == 1

    def test_no_tests_are_no_success(self, tmp_path: Path) -> None:
        assert self.total(tmp_path, 0).returncode == 1


def test_every_target_of_make_help_exists() -> None:
    text = run("make", "-C", ROOT, "--no-print-directory", "help").stdout
    targets = [line.split()[1] for line in text.splitlines() if line.startswith("make ")]
    assert len(targets) >= 8
    for target in targets:
        assert run("make", "-C", ROOT, "-n", target).returncode == 0, target


def test_scripts_parse() -> None:
    for script in (ROOT / ".ci" / "run", ROOT / "tools" / "check-rust"):
        assert run("bash", "-n", script).returncode == 0, script

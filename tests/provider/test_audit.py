"""The audit file: a line a call, chained, shared by threads and processes, without secrets."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fumehood.abi.http import HTTPRequest, encode_request
from fumehood.egress.client import Client
from fumehood.egress.policy import Grant
from fumehood.egress.secrets import Secrets, Slot
from fumehood.errors import (
    ConfigError,
    EgressDenied,
    HostError,
    PluginError,
    ProviderError,
    Timeout,
    TransportError,
)
from fumehood.limits import Exchange, Limits, Receipt
from fumehood.meter import MAX_DENIALS, Denial, Meter
from fumehood.provider import Registry, appender, audit, chain
from fumehood.provider.audit import Audit, Granted, Settings, check
from fumehood.provider.filelock import acquire, attempt
from fumehood.provider.reaper import reaper
from tests.counts import AUDIT_LINES
from tests.forks import beside, in_child, needs_fork
from tests.provider.fakes import Export, FakeClient, provider, split
from tests.provider.wat import FAILING

RECEIPT = Receipt(
    "fake", "ab" * 32, "chat", 12, 0.5, 0.25, 65536, 3, 0, True,
    [Exchange("POST", "api.example.com", 443, 200, 10, 20, 0.1)],
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def opened(path: Path, sync: float | None = None) -> Audit:
    return Audit(Settings(path, sync))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_call_leaves_a_line(path: Path) -> None:
    trail = opened(path)
    client = FakeClient((200, b"x"), (401, b"y"), (200, [b"a\n"]), (200, [b"a\n"]))
    one = provider(split(), client, audit=trail)
    one.chat("prompt")
    with pytest.raises(ProviderError):
        one.chat("prompt")
    list(one.chat_stream("prompt"))
    one.chat_stream("prompt").close()
    trail.close()
    trail.close()
    found = lines(path)
    assert [(line["seq"], line["operation"], line["outcome"]) for line in found] == [
        (1, "chat", "done"), (2, "chat", "provider"),
        (3, "chat_stream", "done"), (4, "chat_stream", "done"),
    ]  # fmt: skip
    assert found[0]["sha256"] == "ab" * 32
    assert found[0]["plugin"] == "fake"
    assert found[0]["grants"] == {
        "hosts": ["https://api.example.com:443"], "ports": [], "private": [],
    }  # fmt: skip
    assert found[1]["detail"] == 401
    assert "prompt" not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert check(path).problems == ()
    with pytest.raises(HostError):
        one.list_models()


def test_what_a_line_says(path: Path) -> None:
    grant = Grant.of(
        ["*.example.com/v1", "127.*", "[::1]:8080", "*"],
        base_url="https://user.example.com/secret-path/",
        ports=[8443],
        private=["10.0.0.0/8"],
    )
    trail = opened(path)
    denied = [Denial("secret", "evil.example"), Denial("url", None)]
    trail.write(RECEIPT, None, Granted.of(grant, audit.NO_SECRETS), denied, 7)
    trail.write(RECEIPT, None, Granted.of(Grant.extism(["a*"]), audit.NO_SECRETS))
    first, second = lines(path)
    assert first["grants"] == {
        "hosts": [
            "*.example.com", "127.*", "[::1]:8080", "*", "https://user.example.com:443",
        ],
        "ports": [8443],
        "private": ["10.0.0.0/8"],
    }  # fmt: skip
    assert second["grants"] == {"hosts": ["a*"], "ports": "any", "private": []}
    assert first["denied"] == [
        {"reason": "secret", "host": "evil.example"}, {"reason": "url", "host": None},
    ]  # fmt: skip
    assert first["denied_more"] == 7
    assert "denied" not in second
    assert (first["sent"], first["received"], first["fuel"]) == (10, 20, 12)
    assert first["http"][0]["host"] == "api.example.com"
    assert first["time"].endswith("+00:00")
    assert "secret-path" not in path.read_text()


@pytest.mark.parametrize(
    ("error", "outcome", "detail"),
    [
        (EgressDenied("no", reason="secret", host="h"), "egress_denied", "secret"),
        (Timeout("late", limit="deadline"), "timeout", "deadline"),
        (TransportError("gone", kind="reset"), "transport", "reset"),
        (ConfigError("wrong"), "config", None),
    ],
)
def test_outcomes(path: Path, error: Any, outcome: str, detail: str | None) -> None:
    opened(path).write(RECEIPT, error)
    (line,) = lines(path)
    assert line["outcome"] == outcome
    assert line.get("detail") == detail
    assert error.message not in path.read_text().replace(outcome, "")


def test_a_plugin_that_chooses_key_and_host_is_recorded(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "canary-0123456789")
    trail = opened(path)
    with pytest.raises(ConfigError, match="only the plugin named"):
        provider(split(api_key_name=lambda *_: b"SOME_TOKEN"), FakeClient(), audit=trail)
    (line,) = lines(path)
    assert (line["operation"], line["outcome"]) == ("open", "config")
    assert "canary" not in path.read_text()


def test_misused_tokens_are_recorded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "canary0123456789")

    def built(host: str, place: str) -> Export:
        def export(data: Any, _instance: Any) -> bytes:
            token = data["cfg"]["api_key"]
            headers = ((place, token),) if place != "body" else ()
            body = token.encode() if place == "body" else b""
            return encode_request(HTTPRequest("POST", f"https://{host}/", headers, body))

        return export

    secrets = {"api_key": {"from": "env:THE_KEY", "hosts": ["api.example.com"]}}
    hosts = ["api.example.com", "other.example.com"]
    for host, place in (
        ("other.example.com", "authorization"),
        ("api.example.com", "x-odd"),
        ("api.example.com", "body"),
    ):
        with Client() as client:
            one = provider(
                split(chat_request=built(host, place)),
                client,  # type: ignore[arg-type]
                audit=opened(path),
                config={"model": "m", "allowed_hosts": hosts},
                secrets=secrets,
            )
            with pytest.raises(EgressDenied):
                one.chat("hi")
        line = lines(path)[-1]
        assert (line["outcome"], line["detail"]) == ("egress_denied", "secret")
        assert line["denied"] == [{"reason": "secret", "host": host}]
        assert line["http"] == []
    assert "canary" not in path.read_text()


def test_a_key_that_the_plugin_holds_is_said_in_each_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_JWT", "canary-0123456789")
    one = provider(
        split(),
        FakeClient((200, b"x")),
        audit=opened(path),
        config={"model": "m", "base_url": "https://api.example.com/"},
        secrets={"api_key": {"from": "env:THE_JWT", "slot": False}},
    )
    one.chat("hi")
    assert lines(path)[0]["secrets_given"] == ["api_key"]


def test_secrets_are_scrubbed_wherever_a_guest_put_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "canary0123456789")
    one = provider(
        split(),
        FakeClient(),
        config={"model": "m", "base_url": "https://api.example.com/"},
        secrets={"api_key": {"from": "env:THE_KEY"}},
    )
    secrets = one._opened.host.secrets
    granted = Granted.of(one._opened.host.grant, secrets)
    trail = opened(path)
    trail.write(RECEIPT, None, granted, [Denial("host", "canary0123456789.evil.example")])
    assert "canary" not in path.read_text()
    assert check(path).problems == ()


def test_refusals_are_kept_up_to_a_number() -> None:
    account = Meter(Limits())
    for turn in range(MAX_DENIALS + 5):
        account.denied("host", f"h{turn}")
    assert len(account.denials) == MAX_DENIALS
    assert account.denials_more == 5


# -- the file ----------------------------------------------------------------------------------


def test_several_audits_of_one_file_make_one_chain(path: Path) -> None:
    for turn in range(6):
        trail = opened(path, None if turn % 2 else 0.0)
        trail.write(RECEIPT, None)
        trail.close()
    assert [line["seq"] for line in lines(path)] == [1, 2, 3, 4, 5, 6]
    assert check(path) == chain.Report(6, lines(path)[-1]["hash"], ())


def test_threads_share_an_audit(path: Path) -> None:
    trail = opened(path)
    count = AUDIT_LINES

    def work() -> None:
        for _ in range(count):
            trail.write(RECEIPT, None)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = check(path)
    assert (report.lines, report.problems) == (4 * count, ())


_WRITER = """
import sys
from pathlib import Path
from fumehood.limits import Receipt
from fumehood.provider.audit import Audit, Settings
trail = Audit(Settings(Path(sys.argv[1])))
receipt = Receipt(sys.argv[2], "ab" * 32, "chat", 1, 0.1, 0.1, 1, 1, 0, True)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    trail.write(receipt, None)
"""


def test_processes_share_a_file(path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), name, str(AUDIT_LINES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    assert [writer.communicate()[0] for writer in writers] == [b"", b"", b""]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    report = check(path)
    assert (report.lines, report.problems) == (3 * AUDIT_LINES, ())
    names = [line["plugin"] for line in lines(path)]
    assert {name: names.count(name) for name in set(names)} == dict.fromkeys(
        ("one", "two", "three"), AUDIT_LINES
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_with_the_chain(path: Path) -> None:
    trail = opened(path)
    trail.write(RECEIPT, None)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            trail.write(RECEIPT, None)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    trail.write(RECEIPT, None)
    assert (check(path).lines, check(path).problems) == (3, ())


@pytest.mark.parametrize("torn", [b'{"seq":2,"plug', b"{", b'{"seq":2,"prev":"00'])
def test_after_a_torn_line_the_chain_goes_on_and_the_tear_is_reported(
    path: Path, torn: bytes
) -> None:
    opened(path).write(RECEIPT, None)
    path.write_bytes(path.read_bytes() + torn)
    assert check(path).problems == ((2, "is not complete"),)
    opened(path).write(RECEIPT, None)
    assert check(path).problems == ((2, "is not an audit line"),)
    assert json.loads(path.read_text().splitlines()[2])["seq"] == 2


def test_a_torn_first_line(path: Path) -> None:
    path.write_bytes(b'{"seq":1,')
    opened(path).write(RECEIPT, None)
    assert check(path).problems == ((1, "is not an audit line"),)


def test_a_long_last_line_is_found(path: Path) -> None:
    trail = opened(path)
    many = [Exchange("POST", f"h{n}.example.com", 443, 200, 1, 1, 0.1) for n in range(2000)]
    trail.write(RECEIPT, None)
    for _ in range(3):
        trail.write(dataclasses.replace(RECEIPT, http=many), None)
    opened(path).close()  # it reads the last line, the writer knows it
    assert path.stat().st_size > 10 * appender._BLOCK
    assert [line["seq"] for line in lines(path)] == [1, 2, 3, 4]
    assert check(path).problems == ()


def test_writers_that_take_turns_continue_each_other(path: Path) -> None:
    one, other = opened(path), opened(path)
    for trail in (one, one, other, other, one, other, one):
        trail.write(RECEIPT, None)
    assert [line["seq"] for line in lines(path)] == [1, 2, 3, 4, 5, 6, 7]
    assert check(path).problems == ()


@pytest.mark.parametrize("change", ["cut", "same size", "another file"])
def test_what_somebody_did_to_the_file_since_is_seen(path: Path, change: str) -> None:
    trail = opened(path)
    for _ in range(2):
        trail.write(RECEIPT, None)
    first, second = path.read_bytes().splitlines(keepends=True)
    if change == "cut":
        path.write_bytes(first)
        trail.write(RECEIPT, None)  # after the line that is now the last
        assert [line["seq"] for line in lines(path)] == [1, 2]
        assert check(path).problems == ()
        return
    if change == "another file":
        path.unlink()
    path.write_bytes(first + b"x" * (len(second) - 1) + b"\n")
    if change == "another file":
        with pytest.raises(HostError, match="not an audit line"):
            trail.write(RECEIPT, None)
        return
    trail.write(RECEIPT, None)  # the chain goes on from what was there before, and shows the change
    assert [number for number, _ in check(path).problems] == [2, 3]


def test_a_rotated_file_is_left_and_a_new_one_begun(path: Path, tmp_path: Path) -> None:
    trail = opened(path)
    trail.write(RECEIPT, None)
    path.rename(tmp_path / "old.jsonl")
    trail.write(RECEIPT, None)
    trail.write(RECEIPT, None)
    assert (check(path).lines, check(path).problems) == (2, ())
    assert check(tmp_path / "old.jsonl").lines == 1
    path.unlink()
    trail.write(RECEIPT, None)
    assert (check(path).lines, check(path).problems) == (1, ())


def test_after_a_file_that_could_not_be_opened_lines_go_on(path: Path, tmp_path: Path) -> None:
    trail = opened(path)
    trail.write(RECEIPT, None)
    path.rename(tmp_path / "old.jsonl")
    path.mkdir()
    for _ in range(2):
        with pytest.raises(HostError, match="cannot be written"):
            trail.write(RECEIPT, None)
    path.rmdir()
    trail.write(RECEIPT, None)
    assert check(path).lines == 1
    path.unlink()
    path.mkdir()
    with pytest.raises(HostError, match="cannot be written"):
        trail.write(RECEIPT, None)
    trail.close()
    with pytest.raises(HostError, match="closed"):
        trail.write(RECEIPT, None)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
def test_the_file_is_closed(path: Path) -> None:
    def held() -> list[str]:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return [name for name in map(os.readlink, links) if name == str(path)]

    trail = opened(path)
    trail.write(RECEIPT, None)
    assert held() == [str(path)]
    trail.close()
    assert held() == []
    opened(path)  # dropped
    gc.collect()
    with pytest.raises(ConfigError, match="network"):
        Registry(audit=path, network={"bad": 1})
    path.write_text("hello")
    with pytest.raises(ConfigError):
        opened(path)
    assert held() == []


class _Dropped:
    """Garbage that has a line written where it is collected."""

    def __init__(self, trail: Audit) -> None:
        self.trail = trail
        self.me = self

    def __del__(self) -> None:
        self.trail.write(dataclasses.replace(RECEIPT, operation="dropped"), None)


def test_garbage_that_is_collected_while_a_line_is_written_gets_its_line_after_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = opened(path)
    seal = chain.seal

    def collecting(document: bytes) -> tuple[bytes, str]:
        gc.collect()
        return seal(document)

    gc.collect()
    monkeypatch.setattr(chain, "seal", collecting)
    _Dropped(trail)
    trail.write(RECEIPT, None)
    monkeypatch.undo()
    assert reaper.wait(10)
    assert [line["operation"] for line in lines(path)] == ["chat", "dropped"]
    assert check(path).problems == ()


@needs_fork
def test_a_child_that_closed_everything_leaves_what_came_in_its_place_alone(path: Path) -> None:
    trail = opened(path)
    trail.write(RECEIPT, None)
    fd = trail._file._fd
    assert fd is not None

    def child() -> None:
        os.close(fd)
        mine, theirs = os.pipe()
        others = {mine, theirs}
        assert fd in others
        trail.write(RECEIPT, None)
        trail.write(RECEIPT, None)
        os.write(theirs, b"x")
        assert os.read(mine, 1) == b"x"

    in_child(child)
    trail.write(RECEIPT, None)
    assert (check(path).lines, check(path).problems) == (4, ())


@needs_fork
def test_a_child_writes_although_another_thread_was_writing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = opened(path)
    parent, seal = os.getpid(), chain.seal
    go, gone = os.pipe()

    def writing(inside: threading.Event) -> None:
        def waiting(document: bytes) -> tuple[bytes, str]:
            if os.getpid() == parent:
                inside.set()
                os.read(go, 1)
            return seal(document)

        monkeypatch.setattr(chain, "seal", waiting)
        trail.write(RECEIPT, None)

    def child() -> None:
        os.write(gone, b"x")
        trail.write(dataclasses.replace(RECEIPT, operation="child"), None)

    with beside(writing):
        in_child(child)
    os.close(go)
    os.close(gone)
    assert [line["operation"] for line in lines(path)] == ["chat", "child"]
    assert check(path).problems == ()


def test_a_file_that_is_closed_while_a_line_is_written_gets_the_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = opened(path, 60.0)
    seal = chain.seal

    def closing(document: bytes) -> tuple[bytes, str]:
        trail.close()
        return seal(document)

    monkeypatch.setattr(chain, "seal", closing)
    trail.write(RECEIPT, None)
    assert trail._file._fd is None
    assert (check(path).lines, check(path).problems) == (1, ())
    with pytest.raises(HostError, match="closed"):
        trail.write(RECEIPT, None)


@needs_fork
def test_a_child_does_not_give_its_parents_lock_back(path: Path) -> None:
    trail = opened(path)
    fd = trail._file._fd
    assert fd is not None

    def child() -> None:
        trail.close()
        other = os.open(path, os.O_RDWR)
        with pytest.raises(TimeoutError):
            acquire(other, 0)

    with audit.locked(fd, 1.0):
        in_child(child)


def test_a_secret_in_a_host_name_is_scrubbed_whatever_json_escapes(path: Path) -> None:
    value = 'key"with\\backslash-and-letters'
    for host, token in ((f"{value}.example.com", True), ("plain.example.com", False)):
        kept = Granted(secrets=Secrets([Slot("k", value, "the-token-instead", "core", slot=True)]))
        exchange = Exchange("POST", host, 443, 200, 1, 1, 0.1)
        opened(path).write(dataclasses.replace(RECEIPT, http=[exchange]), None, kept)
        written = lines(path)[-1]["http"][0]["host"]
        assert (written != host) is token
        assert value not in written


@pytest.mark.parametrize(
    "content", ["hello\n", "hello", "{}", "\n", '{"outcome":"done"}\n', "a\n" * 50_000]
)
def test_a_file_of_something_else_is_not_written_to(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(ConfigError, match="not an audit line"):
        opened(path)
    assert path.read_text() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files")
@pytest.mark.timeout(20)
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(ConfigError, match="is not a file"):
            opened(place)
        with pytest.raises(ConfigError, match="is not a file"):
            check(place)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    for place in (tmp_path / "no" / "such" / "folder", tmp_path, Path(os.devnull)):
        with pytest.raises(ConfigError, match="audit file"):
            opened(place)
        with pytest.raises(ConfigError, match="audit file"):
            Registry(audit=place)
        with pytest.raises(ConfigError, match=r"is not a file|audit file"):
            check(place)


def test_a_full_disk_fails_the_call_and_leaves_no_half_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = opened(path)
    trail.write(RECEIPT, None)
    whole = path.read_bytes()
    write = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return write(fd, bytes(data)[: len(data) - 50])

    monkeypatch.setattr(appender.os, "write", half)
    with pytest.raises(HostError, match="No space left"):
        trail.write(RECEIPT, None)
    monkeypatch.undo()
    assert path.read_bytes() == whole
    trail.write(RECEIPT, None)
    assert check(path).problems == ()


def test_a_lock_that_is_not_given_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trail = opened(path)
    monkeypatch.setattr(appender, "PATIENCE", 0.02)
    fd = os.open(path, os.O_RDWR)
    try:
        with audit.locked(fd, 1.0), pytest.raises(HostError, match="another process"):
            trail.write(RECEIPT, None)
    finally:
        os.close(fd)
    trail.write(RECEIPT, None)


def test_an_interrupt_leaves_no_lock_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(fd: int) -> bool:
        assert attempt(fd)
        raise KeyboardInterrupt

    trail, other = opened(path), opened(path)
    monkeypatch.setattr(appender, "attempt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trail.write(RECEIPT, None)
    monkeypatch.undo()
    monkeypatch.setattr(appender, "PATIENCE", 0.02)
    other.write(RECEIPT, None)
    trail.write(RECEIPT, None)
    assert (check(path).lines, check(path).problems) == (2, ())


# -- when it is forced to the disk ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("sync", "forced"), [(None, [0, 0, 0]), (0.0, [1, 1, 1]), (60.0, [0, 0, 1])]
)
def test_sync(
    path: Path, monkeypatch: pytest.MonkeyPatch, sync: float | None, forced: list[int]
) -> None:
    trail = opened(path, sync)
    calls: list[int] = []
    monkeypatch.setattr(appender.os, "fsync", calls.append)
    seen: list[int] = []
    for end in (False, False, True):
        before = len(calls)
        if not end:
            trail.write(RECEIPT, None)
        elif sync == 0.0:
            trail.write(RECEIPT, None)
            trail.close()
        else:
            trail.close()
        seen.append(len(calls) - before)
    assert seen == forced


def test_the_audit_of_a_file(tmp_path: Path) -> None:
    config = tmp_path / "plugins.toml"
    for text, sync in (
        ('audit = "a.jsonl"', None),
        ('[audit]\npath = "a.jsonl"\nsync = "always"', 0.0),
        ('[audit]\npath = "a.jsonl"\nsync = "5s"', 5.0),
        ('[audit]\npath = "a.jsonl"\nsync = "never"', None),
    ):
        config.write_text(text)
        registry = Registry(config)
        assert registry._audit is not None
        assert registry._audit._settings == Settings(tmp_path / "a.jsonl", sync)
        registry.close()
    with Registry(config, audit={"path": str(tmp_path / "b.jsonl"), "sync": 3}) as registry:
        assert registry._audit is not None
        assert registry._audit._settings == Settings(tmp_path / "b.jsonl", 3.0)
    config.write_text("")
    with Registry(config) as registry:
        assert registry._audit is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("audit = 3", "audit.path"),
        ('audit = ""', "audit.path"),
        ("[audit]", "audit.path"),
        ('[audit]\npath = "a"\nsync = "sometimes"', "audit.sync"),
        ('[audit]\npath = "a"\nhead = "x"', "audit.head"),
    ],
)
def test_an_audit_that_cannot_be_used(tmp_path: Path, text: str, key: str) -> None:
    config = tmp_path / "plugins.toml"
    config.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Registry(config)
    assert key in [where for where, _ in caught.value.problems]


def test_event_loops_leave_lines_too(tmp_path: Path) -> None:
    (tmp_path / "it.wat").write_text(FAILING)
    (tmp_path / "plugins.toml").write_text("""
audit = "audit.jsonl"
[[providers]]
name = "it"
path = "it.wat"
config = { model = "m", base_url = "https://api.example.com/" }
""")

    async def go() -> None:
        with Registry(tmp_path / "plugins.toml") as registry:
            async with await registry.aopen("it") as one:
                with pytest.raises(PluginError):
                    await one.chat("prompt")

    asyncio.run(go())
    (line,) = lines(tmp_path / "audit.jsonl")
    assert (line["operation"], line["outcome"]) == ("chat", "plugin")
    assert line["grants"]["hosts"] == ["https://api.example.com:443"]
    assert check(tmp_path / "audit.jsonl").problems == ()

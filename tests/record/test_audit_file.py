"""The audit's file: whole lines, whoever renames it, whoever else writes, whether there is room or not."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.record.audit_file import AuditFile, AuditState


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def file(path: Path, clock: Clock) -> AuditFile:
    made = AuditFile(path, clock)
    made.open()
    return made


@pytest.fixture
def no_room() -> Iterator[None]:
    """No file grows beyond 100 bytes: a line is taken as far as that, and nothing of the next (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def room_again() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_file_is_made_for_its_owner_alone_and_one_that_is_there_goes_on(file: AuditFile, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"before\n")
    assert file.append(b"one\n") and file.append(b"two\n")
    assert path.read_bytes() == b"before\none\ntwo\n"


@pytest.mark.parametrize("kind", ["symlink", "directory", "fifo"])
def test_what_is_no_regular_file_is_refused(kind: str, path: Path, clock: Clock) -> None:
    if kind == "symlink":
        (path.parent / "target").touch()
        path.symlink_to(path.parent / "target")
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(OSError, match="expected a regular file"):
        AuditFile(path, clock).open()


def test_renamed_file_is_left_within_a_second(file: AuditFile, path: Path, clock: Clock) -> None:
    file.append(b"one\n")
    old = path.rename(path.with_suffix(".1"))
    path.write_bytes(b"")
    file.append(b"two\n")
    clock.now += 1
    file.append(b"three\n")
    assert (old.read_bytes(), path.read_bytes()) == (b"one\ntwo\n", b"three\n")


def test_file_that_was_removed_is_made_anew(file: AuditFile, path: Path, clock: Clock) -> None:
    path.unlink()
    file.follow()  # SIGHUP: at once
    assert file.append(b"one\n")
    assert path.read_bytes() == b"one\n" and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_copytruncate_leaves_no_hole(file: AuditFile, path: Path) -> None:
    file.append(b"one\n")
    os.truncate(path, 0)
    file.append(b"two\n")
    assert path.read_bytes() == b"two\n"


def test_symlink_in_the_place_of_a_rotated_file_is_not_followed(file: AuditFile, path: Path, clock: Clock) -> None:
    target = path.parent / "target"
    target.touch()
    path.unlink()
    path.symlink_to(target)
    clock.now += 1
    assert not file.append(b"one\n") and target.read_bytes() == b""
    assert file.error is not None and "symbolic link" in file.error
    path.unlink()
    assert file.append(b"two\n") and path.read_bytes() == b"two\n"


def test_folder_that_is_gone_loses_lines_until_it_is_back(path: Path, clock: Clock) -> None:
    folder = path.parent / "folder"
    folder.mkdir()
    file = AuditFile(folder / "audit.jsonl", clock)
    file.open()
    away = folder.rename(path.parent / "away")
    clock.now += 1
    assert not file.append(b"one\n") and file.error == "No such file or directory"
    away.rename(folder)
    assert file.append(b"two\n") and file.path.read_bytes() == b"two\n"


@pytest.mark.usefixtures("no_room")
def test_half_a_line_garbles_no_other(file: AuditFile, path: Path) -> None:
    assert file.append(b"a" * 59 + b"\n")
    assert not file.append(b"b" * 59 + b"\n")  # 40 bytes of it
    assert not file.append(b"c" * 59 + b"\n")
    assert file.error == "File too large"
    room_again()
    assert file.append(b"d\n")
    assert path.read_bytes().split(b"\n") == [b"a" * 59, b"b" * 40, b"d", b""]


@pytest.mark.usefixtures("no_room")
def test_half_a_line_of_another_process_garbles_none_of_ours(file: AuditFile, path: Path, clock: Clock) -> None:
    other = AuditFile(path, clock)
    other.open()
    assert file.append(b"a" * 59 + b"\n")
    assert not other.append(b"b" * 59 + b"\n")
    room_again()
    assert file.append(b"d\n") and other.append(b"e\n")
    assert path.read_bytes().split(b"\n") == [b"a" * 59, b"b" * 40 + b"d", b"d", b"e", b""]


def test_line_that_landed_behind_half_a_one_is_written_again(
    file: AuditFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Between our look and our write another process was torn.
    write = os.write

    def torn(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        with path.open("ab") as other:
            other.write(b'{"half')
        return write(descriptor, data)

    file.append(b"one\n")
    monkeypatch.setattr(os, "write", torn)
    assert file.append(b"two\n")
    assert path.read_bytes() == b'one\n{"halftwo\ntwo\n'


def test_retired_file_takes_what_is_still_to_be_written_and_is_not_kept_open(path: Path, clock: Clock) -> None:
    file = AuditFile(path, clock)
    file.open()
    before = len(os.listdir("/proc/self/fd"))
    file.retire()
    assert len(os.listdir("/proc/self/fd")) == before - 1
    assert file.append(b"late\n") and path.read_bytes() == b"late\n"
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_log_hears_once_that_it_fails_and_once_that_it_is_over(
    file: AuditFile, caplog: pytest.LogCaptureFixture
) -> None:
    state = AuditState()
    state.note(file, is_written=True)
    file.error = "No space left on device"
    for _ in range(3):
        state.note(file, is_written=False)
    assert state.failing_since is not None and state.last_error == "No space left on device"
    state.note(file, is_written=True)
    assert state.lines == {"written": 2, "lost": 3}
    assert [state.failing_since, state.last_error] == [None, None]
    said = [record.getMessage().partition(": ")[2].replace(str(file.path), "FILE") for record in caplog.records]
    assert said == ["FILE cannot be written: No space left on device", "FILE is written again; lines lost: 3"]

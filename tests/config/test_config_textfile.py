"""Reading files: nothing that is no file is waited for, and what was read is known."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from gslb.config.textfile import UnreadableError, read_text, recording, signature
from gslb.watched import WatchedFiles


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UnreadableError, match="is not a file"):
        read_text(pipe)


def test_a_pipe_is_read_to_its_end_where_it_may_be_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("late"))
    writer.start()
    assert read_text(pipe, pipe=True) == "late"
    writer.join()


def test_a_device_is_no_file_ever() -> None:
    for pipe in (False, True):
        with pytest.raises(UnreadableError, match="is not a file"):
            read_text(Path("/dev/zero"), pipe=pipe)


def test_what_was_read_and_what_was_missing_are_known_as_they_were_first(tmp_path: Path) -> None:
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.write_text("a")
    before = signature(there)
    read: dict[str, tuple[int, ...]] = {}
    with recording(read):
        read_text(there)
        there.write_text("longer")
        read_text(there)
        with pytest.raises(UnreadableError):
            read_text(missing)
    read_text(tmp_path / "there")
    assert read == {str(there): before, str(missing): ()}
    assert signature(there) != before


def test_a_file_that_was_missing_counts_as_changed_once_it_is_there_and_whole(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    watched = WatchedFiles(())
    watched.use({str(missing): ()})
    assert not watched.have_changed()
    missing.write_text("half")
    assert (watched.have_changed(), watched.settling) == (False, True)
    missing.write_text("and all")
    assert (watched.have_changed(), watched.settling) == (False, True)
    assert watched.have_changed()
    watched.use({str(missing): signature(missing)})
    assert (watched.have_changed(), watched.settling) == (False, False)

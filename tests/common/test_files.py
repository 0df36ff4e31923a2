"""Files that appear complete or not at all, and fingerprints of sources."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import theory
from common.files import atomic_write, folder, target, write_json
from common.settings import WrongUse
from common.versions import fingerprint


def test_a_file_appears_only_when_its_block_succeeds(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"

    def fail():
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_process_left_of_a_file_is_removed_by_the_next(tmp_path):
    code = (
        "import os, signal, sys; from common.files import atomic_write\n"
        f"with atomic_write({str(tmp_path / 'file.txt')!r}) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = tmp_path.iterdir()
    others = [
        tmp_path / name for name in (f".file.txt.{os.getppid()}.partial", ".file.txt.mine.partial", ".b.1.partial")
    ]
    for path in others:  # of a process that runs, or none of ours
        path.write_text("")
    with atomic_write(tmp_path / "file.txt") as temporary:
        assert not left.exists()
        temporary.write_text("whole")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "file.txt", *others])


def test_json_has_no_numbers_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file.json", [float("nan")])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(WrongUse, match="cannot be written"):
        write_json(tmp_path, {})


def test_places_where_nothing_can_be_put_are_told(tmp_path):
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "one", tmp_path / "one" / "below", tmp_path / "pipe", tmp_path / "a\udcff"):
        with pytest.raises(WrongUse, match="cannot be written"):
            target(place)
    for place in (tmp_path / "one", tmp_path / "file", tmp_path / "file" / "below", tmp_path / "a\udcff"):
        with pytest.raises(WrongUse, match="as a folder"):
            folder(place)
    for place in (target, folder):
        with pytest.raises(WrongUse, match=r"\(its name is not UTF-8\)"):
            place(tmp_path / "a\udcff")


def test_a_fingerprint_changes_with_any_source(tmp_path):
    room = Path(theory.__file__).parent
    copies = [tmp_path / name for name in ("same", "changed", "renamed", "more")]
    for copy in copies:
        shutil.copytree(room, copy, ignore=shutil.ignore_patterns("__pycache__"))
    same, changed, renamed, more = copies
    (changed / "stages.py").write_text((changed / "stages.py").read_text() + "\n# a remark\n")
    (renamed / "stages.py").rename(renamed / "steps.py")
    (more / "studies" / "empty.py").write_text("")
    (same / "notes.txt").write_text("no source")
    found = {fingerprint(copy) for copy in (changed, renamed, more)}
    assert len(found) == 3
    assert fingerprint(same) == fingerprint(room) not in found
    assert fingerprint(room, same) not in {fingerprint(same), fingerprint(room, changed)}

"""The soak finds what it looks for, and a small one of real commands finds nothing. The whole of it is `make soak`."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak import faults
from tests.soak.judging import FAULTS

ROOT = Path(__file__).resolve().parents[1]
BAD = """
import json, os, sys, time
from tests.soak.__main__ import Soak, main
from tests.soak.jobs import Job

def whole(place, text):
    (place / ".new").write_text(text)
    os.replace(place / ".new", place / "result.json")

def good(place):
    whole(place, "1")
    return 0

def marked(place):  # whether an earlier run was killed after its first step
    found = (place / "mark").exists()
    (place / ".mark").write_text("x")
    os.replace(place / ".mark", place / "mark")
    return found

def lost(place):
    if marked(place):
        print("error: the mark is there already.")
        return 2
    whole(place, "1")
    return 0

def different(place):
    whole(place, "2" if marked(place) else "1")
    return 0

def stuck(place):
    if marked(place):
        time.sleep(60)
    whole(place, "1")
    return 0

def left(place):
    (place / str(len(list(place.glob("*.tmp"))))).with_suffix(".tmp").write_text("x")
    whole(place, "1")
    return 0

def silent(place):
    if marked(place):
        raise ValueError("a traceback")
    whole(place, "1")
    return 0

def refusing(place):  # what is not as it was written
    if (place / "result.json").exists() and (place / "result.json").read_bytes() != b"1":
        print("error: the result is damaged.")
        return 2
    whole(place, "1")
    return 0

def believing(place):  # whatever is still a document
    try:
        kept = json.loads((place / "result.json").read_text())
    except (OSError, ValueError):
        kept = "some words"
    whole(place, json.dumps(kept))
    return 0

if sys.argv[1] in ("refusing", "may refuse", "believing"):
    job = Job("one", believing if sys.argv[1] == "believing" else refusing, may_refuse=sys.argv[1] == "may refuse")
    sys.exit(main(Soak(kills=0, corruptions=12, midway=0), lambda _: [job]))

made = {"same": good, "lost": lost, "different": different, "stuck": stuck, "left over": left, "silent": silent}
sys.exit(main(Soak(kills=8, corruptions=0, stuck=0.2), lambda _: [Job(sys.argv[1], made[sys.argv[1]])]))
"""


def soak(*arguments):
    """Exit code and the counts that the summary line gives."""
    ended = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert ended.stdout, ended.stderr
    line = ended.stdout.strip().splitlines()[-1]
    counts = [part.strip().split(" ", 1) for part in line.split("min:")[1].replace(";", ",").split(",")]
    return ended.returncode, {word: int(number) for number, word in counts}


@pytest.mark.parametrize("fault", ["same", *FAULTS])
def test_every_fault_is_found_and_told(fault):
    code, counts = soak("-W", "ignore::DeprecationWarning", "-c", BAD, fault)
    assert code == (fault != "same")
    assert counts[fault if fault != "same" else "the same"] > 0
    assert sum(counts[other] for other in FAULTS if other != fault) == 0


@pytest.mark.parametrize(
    ("how", "word", "wrong"),
    [("refusing", "lost", True), ("may refuse", "refused in words", False), ("believing", "different", True)],
)
def test_damage_that_is_refused_or_believed_is_told(how, word, wrong):
    code, counts = soak("-W", "ignore::DeprecationWarning", "-c", BAD, how)
    assert code == wrong
    assert counts[word] > 0


def test_a_letter_of_a_name_in_a_footer_is_changed(tmp_path):
    """So that a table stays one, with other columns: what only its seal can tell."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"problem.beta": [1.0]}), path, store_schema=False)
    told, whole = set(), path.read_bytes()
    for seed in range(60):
        path.write_bytes(whole)
        if faults.damage(tmp_path, random.Random(seed)).startswith("letter"):
            told.add(pq.read_schema(path).names[0])
    assert len(told - {"problem.beta"}) > 3


def test_a_small_soak_of_real_commands_finds_nothing():
    few = ("--kills", "4", "--corruptions", "8", "--midway", "1")
    code, counts = soak("-m", "tests.soak", *few, "--jobs", "store", "reading")
    assert (code, [counts[fault] for fault in FAULTS]) == (0, [0] * len(FAULTS))
    assert counts["the same"] + counts["refused in words"] == 12

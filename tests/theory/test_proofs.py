"""Every derivation comes out as expected, a false step is noticed, and what is rendered is well-formed LaTeX."""

import json
import math
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import theory.proofs
from common.console import Output, run
from theory.commands.proofs import Prove
from theory.proofs import NAMES, prove
from theory.proofs.core import Derivation, Proof, ProofFailed, Theorem, carry_out
from theory.proofs.rendering import latex, readable, text

REPAIRED = "false as printed; repaired: proved"
EXPECTED = {
    "setting": REPAIRED,
    "mode-ode": "argued",
    "descent": "proved",
    "logistic": "proved",
    "convergence": "proved",
    "unbalanced": "proved",
    "deep": "proved",
    "sequential": REPAIRED,
    "post-training": REPAIRED,
    "frozen": "false as printed; repaired: argued",
    "forgetting": REPAIRED,
    "theorem-5-1": "proved",
    "theorem-5-2": REPAIRED,
    "theorem-5-3": REPAIRED,
    "exposure-law": "proved",
    "no-latent": "proved",
    "order": "argued",
    "deep-decay": "numerical",
    "compute-matched": "proved",
    "lowered-feature": "proved",
    "dropout": "argued",
    "replay": "proved",
    "weight-decay": "proved",
    "l2-to-start": "proved",
    "lora": "numerical",
    "leakage": "proved",
    "redundant": "proved",
    "shared-unit": "argued",
    "law-optimum": "proved",
    "law-derived": "proved",
}
proved = cache(prove)


def command(*arguments: str) -> int:
    return run("theory", {"prove": Prove, "other": Prove}, "", ["prove", *arguments])


def test_every_result_is_expected_here() -> None:
    assert tuple(EXPECTED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_status(name: str) -> None:
    proof = proved(name)
    assert proof.status == EXPECTED[name]
    assert proof.holds
    assert proof.theorem.name == name
    assert proof.count("symbolic") >= 4
    assert proof.seconds < 60


@pytest.mark.parametrize("name", [name for name, status in EXPECTED.items() if status.endswith("proved")])
def test_proved_rests_on_neither_words_nor_numbers(name: str) -> None:
    assert proved(name).count("argued") == 0
    assert not [step for step in proved(name).steps if step.kind == "numeric" and step.needed]


@pytest.mark.parametrize("name", [name for name, status in EXPECTED.items() if status.endswith("argued")])
def test_argued_rests_on_no_number(name: str) -> None:
    assert proved(name).count("argued") > 0
    assert not [step for step in proved(name).steps if step.kind == "numeric" and step.needed]


x, y, t = sp.symbols("x y t", positive=True)


def wrong_steps() -> dict[str, object]:
    return {
        "equal": lambda d: d.equal("binomial", (x + y) ** 2, x**2 + y**2),
        "equal up to a sign": lambda d: d.equal("sign", sp.exp(-x), sp.exp(x)),
        "solves with the halved loss's factor": lambda d: d.solves(
            "logistic", y / (1 + (y / x - 1) * sp.exp(-2 * y * t)), lambda a: 4 * a * (y - a), t, x
        ),
        "solves from another start": lambda d: d.solves("growth", 2 * x * sp.exp(t), lambda a: a, t, x),
        "sign": lambda d: d.sign("difference", x - y),
        "strict sign of something that can vanish": lambda d: d.sign("square", (x - y) ** 2, strict=True),
        "agree": lambda d: d.agree("too far", 1e-3, 1e-6),
        "agree on nan": lambda d: d.agree("nan", math.nan, 1e-6),
        "example": lambda d: d.example("negative", -1.0, "-1 > 0"),
        "refute what is true": lambda d: d.refute("no counterexample", 1.0, 1.0 + 1e-9, margin=1e-3),
        "no steps at all": lambda d: None,
    }


@pytest.mark.parametrize("kind", wrong_steps())
def test_a_wrong_step_fails_its_proof(kind: str) -> None:
    theorem = Theorem(name="wrong", title="wrong", source="", assumptions=(), statement="")
    proof = carry_out(theorem, wrong_steps()[kind])  # type: ignore[arg-type]
    assert not proof.holds
    assert proof.status.startswith("FAILED: ")


def test_a_wrong_step_gives_a_counterexample_and_stops() -> None:
    derivation = Derivation()
    with pytest.raises(ProofFailed, match=r"e\.g\. at x = "):
        derivation.equal("binomial", (x + y) ** 2, x**2 + y**2)
    assert derivation.steps == []


THEOREM = Theorem(name="n", title="n", source="", assumptions=(), statement="")


def symbolic(d: Derivation) -> None:
    d.equal("true", x + x, 2 * x)


STEPS = {  # a step beside a symbolic one, and the status that the two give
    "nothing else": (lambda d: None, "proved"),
    "a number that corroborates": (lambda d: d.agree("close", 1e-9, 1e-3), "proved"),
    "an example that the claim does not mention": (lambda d: d.example("seen", 1.0, "1 > 0", needed=False), "proved"),
    "words": (lambda d: d.argue("By continuity"), "argued"),
    "a number that carries": (lambda d: d.agree("close", 1e-9, 1e-3, needed=True), "numerical"),
    "an example": (lambda d: d.example("happens", 1.0, "1 > 0"), "numerical"),
    "a refutation": (lambda d: d.refute("printed", 1.0, 2.0, margin=0.5), "false as printed; repaired: proved"),
}


@pytest.mark.parametrize("kind", STEPS)
def test_the_weakest_needed_step_decides(kind: str) -> None:
    step, expected = STEPS[kind]

    def derive(d: Derivation) -> None:
        symbolic(d)
        step(d)

    assert carry_out(THEOREM, derive).status == expected


def test_a_number_is_weaker_than_words() -> None:
    def derive(d: Derivation) -> None:
        symbolic(d)
        d.example("happens", 1.0, "1 > 0")
        d.argue("By continuity")
        d.refute("printed", 1.0, 2.0, margin=0.5)

    assert carry_out(THEOREM, derive).status == "false as printed; repaired: numerical"


def stack_of_environments(text: str) -> list[str]:
    open_ones: list[str] = []
    for what, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", text):
        if what == "begin":
            open_ones.append(name)
        else:
            assert open_ones.pop() == name
    return open_ones


@pytest.mark.parametrize("name", NAMES)
def test_latex_is_well_formed(name: str) -> None:
    text = latex(proved(name))
    assert text.isascii()
    assert stack_of_environments(text) == []
    bare = text.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    assert len(re.findall(r"\\left\b", text)) == len(re.findall(r"\\right\b", text))
    for line in text.splitlines():
        assert line.count("$") % 2 == 0, line
    outside = re.sub(r"\\begin\{(equation|multline)\*\}.*?\\end\{\1\*\}", "", text, flags=re.S)
    outside = re.sub(r"\$[^$]*\$", "", outside)
    for line in outside.splitlines()[1:]:
        assert not re.search(r"(?<!\\)[_^]", line), line
        assert "\\sqrt" not in line
    assert r"\begin{theorem}" in text
    assert r"\begin{proof}" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path) -> None:  # type: ignore[no-untyped-def]
    head = r"\documentclass{article}\usepackage{amsmath, amsthm}\newtheorem{theorem}{Theorem}\begin{document}"
    text = "\n".join([head, *(latex(proved(name)) for name in NAMES), r"\end{document}"])
    (tmp_path / "all.tex").write_text(text)
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"], cwd=tmp_path, check=True)


def test_nothing_heavy_is_imported_with_the_command() -> None:
    code = "import sys, theory.commands.proofs, theory.errata; print([m for m in sys.modules if m.startswith('sympy')][:1])"
    code += "; print('theory.proofs.core' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "False"]


def test_command_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("leakage", "mode-ode") == 0
    heard = capsys.readouterr().out
    assert "2 of 2 hold: 1 proved, 1 argued, 0 numerical; 0 false as printed" in heard


def test_table_is_readable_at_120_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theory.proofs, "prove", proved)
    out = Output(False)
    out.console.width = 120
    Prove().run(out)
    heard = capsys.readouterr().out
    assert all(f"  {name}  " in heard for name in NAMES)
    assert max(len(line) for line in heard.splitlines()) <= 120


def test_command_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("leakage", "--json", "--latex") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["failed"] == []
    (entry,) = document["proofs"]
    assert entry["status"] == "proved"
    assert entry["theorem"]["name"] == "leakage"
    assert entry["latex"].startswith("% needs amsmath")
    assert {step["kind"] for step in entry["steps"]} == {"symbolic"}


def test_command_latex_is_unchanged_by_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("no-latent", "--latex") == 0
    assert capsys.readouterr().out.strip() == latex(proved("no-latent")).strip()


def test_unknown_name_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("nonsense") == 2
    heard = capsys.readouterr().err
    assert "nonsense" in heard
    assert "no-latent" in heard


@pytest.mark.parametrize("as_json", [False, True])
def test_a_failing_proof_exits_with_one(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(name: str) -> Proof:
        return carry_out(proved(name).theorem, lambda d: d.equal("false", x, y))

    monkeypatch.setattr(theory.proofs, "prove", failing)
    with pytest.raises(SystemExit) as stopped:
        command("leakage", *(["--json"] if as_json else []))
    assert stopped.value.code == 1
    heard = capsys.readouterr()
    assert "1 of 1 proofs failed: leakage" in heard.err
    if as_json:
        assert json.loads(heard.out)["failed"] == ["leakage"]
    else:
        assert "FAILED" in heard.out


def test_numbers_of_the_shared_unit() -> None:
    from theory.proofs.shared_unit import end_points

    b2, b3 = end_points(1.0, 2.0, 1.0)
    assert b2 == pytest.approx(0.351, abs=5e-4)
    assert b3 == pytest.approx(0.275, abs=5e-4)
    assert (1 + b3 - 2) ** 2 == pytest.approx(0.526, abs=5e-4)


def test_no_go_needs_ordered_targets() -> None:
    """Where post-training lowers a shared feature an exposure helps, and some optima are interior; with ordered targets none."""
    from theory.proofs.lowered_feature import counts

    better, notable = counts()
    assert better == pytest.approx(0.2586, abs=1e-3)
    assert notable == pytest.approx(0.0085, abs=5e-4)
    assert counts(ordered=True) == (0.0, 0.0)
    assert any(r"s_{pre} \le s_{post}" in text for text in proved("compute-matched").theorem.assumptions)


def test_the_counterexample_has_its_optimum_inside() -> None:
    from theory import predict  # the toolkit's own solution, not the exact numbers of the proof

    early = np.array([0.0, 0.4, 1.0])  # of a budget of 1, added to a D_pre time of 2
    stages = {"alpha": early / (2 + early), "t_pre": 2 + early, "t_post": 1 - early, "t_ft": 0.1}
    targets = {"sigma_pre": 2.0, "sigma_post": 1.0, "sigma_ft": 0.5, "beta": 0.6, "init_scale": 0.1}
    none, some, all_ = predict(stages | targets).loss_ret
    assert some < none - 0.004
    assert some < all_ - 0.004


def test_deep_networks_with_decay_have_an_interior_optimum() -> None:
    from theory.proofs.deep_decay import strength

    deep = [strength(exposure / 10) for exposure in range(11)]
    assert max(deep) == deep[7] == pytest.approx(0.9017, abs=1e-4)
    assert deep[0] == pytest.approx(0.8903, abs=1e-4)
    assert deep[10] == pytest.approx(0.8846, abs=1e-4)
    shallow = [strength(exposure / 10, depth=2) for exposure in range(11)]
    assert shallow == sorted(shallow, reverse=True)


@pytest.mark.parametrize("name", NAMES)
def test_no_step_shows_a_tautology(name: str) -> None:
    for step in proved(name).steps:
        assert step.formula or step.kind in ("argued", "numeric")
        left, _, right = step.formula.partition(" = ")
        assert not right or left != right, step


ROOT = Path(theory.proofs.__file__).parents[2]
PAGE = ROOT / "docs" / "theory.md"


@pytest.mark.parametrize("name", NAMES)
def test_the_page_claims_no_more_than_what_comes_out(name: str) -> None:
    assert f"| `{name}` | {proved(name).theorem.title} | {proved(name).status} |" in PAGE.read_text().splitlines()


def test_every_citation_of_the_page_finds_its_section() -> None:
    sections = set(re.findall(r"^#+ (\d(?:\.\d)?)\.? ", PAGE.read_text(), flags=re.M))
    cited = {}
    for path in (path for room in ("theory", "sims", "common") for path in (ROOT / room).rglob("*.py")):
        for found in re.findall(r"docs/theory\.md, sections? ([\d., and]+)", path.read_text()):
            cited[path.name] = re.findall(r"\d(?:\.\d)?", found)
    assert len(cited) >= 20
    for name, numbers in cited.items():
        assert set(numbers) <= sections, name


def test_statements_are_shown_in_readable_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert readable(r"$\frac{d}{dt}\theta$, $\bar s \le \sqrt{a_{0,i}}$, $\dot a$") == "d/dt θ, s̄ ≤ √(a_(0,i)), ȧ"
    assert (
        readable(r"$\{e^{-4cst}\}$ in $\ln(\beta^2/(1 - \frac{\alpha + 1}{2}))$")
        == "{e^(-4cst)} in ln(β^2/(1 - (α + 1)/2))"
    )
    for name in NAMES:
        assert not re.search(r"[\\$]", text(proved(name).theorem)), name
    assert command("no-latent") == 0
    shown = capsys.readouterr().out
    assert "then: |√(L_ret^u) - √(L_ret^m)| ≤ √(L_im^u) + √(L_im^m)" in shown
    assert "assume: Depth two, balanced" in shown

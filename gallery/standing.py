"""How the claims stand, and the answers to the three questions that a reader comes with: numbers from stored tables, words around them."""

import json
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

from common.claims import PREDICTIONS, STATEMENTS
from common.published import RESULTS
from common.verdict_table import load as load_verdicts
from common.verdicts import Verdict
from figures.claims import cell, tables


def verdicts(folder: Path = RESULTS) -> list[Verdict]:
    """All stored verdicts."""
    return [one for path in tables(folder) for one in load_verdicts(path)]


def standings() -> dict[str, str]:
    """Claim -> how it stands in every engine that judged it."""
    found = verdicts()
    engines = sorted({one.engine for one in found})
    stand = {}
    for claim in STATEMENTS:
        cells = {
            engine: cell([one for one in found if (one.claim, one.engine) == (claim, engine)]) for engine in engines
        }
        stand[claim] = "; ".join(f"{engine}: {said}" for engine, said in cells.items() if said != "—")
    return {claim: said for claim, said in stand.items() if said}


def answers() -> list[dict[str, Any]]:
    """The three questions, each with an answer from the tables, the command that gives it, and where to read on."""
    return [helps(), explained(), chosen()]


def helps() -> dict[str, Any]:
    """Does early exposure help, and by how much? The published Figure 3a, and our language models beside their strongest decoy."""
    immediate, retained = (fmean(answer("headline")["paper"][loss]) for loss in ("loss_im", "loss_ret"))
    decoys = [one for one in verdicts() if one.claim == "D1" and one.primary and one.low is not None]
    return {
        "question": "Does early exposure help, and by how much?",
        "answer": (
            "In the paper's Figure 3a (135M parameters, one seed a point, no decoy) full exposure moves the immediate loss by "
            f"{immediate:+.3f} nats and the retained loss by {retained:+.3f}, mean of three sizes of D_post. Our small language models, "
            "beside the strongest decoy: retained loss with D_post minus that with the decoy, at matched fine-tuning loss (a "
            "testbed that fails one of its gates may claim nothing: python -m lm_experiments gates):"
        ),
        "points": [
            f"{one.where.split(':')[0].replace('>', ' → ')}: {one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}] nats, {one.status} "
            f"(gates: {one.gates or 'not told'})"
            for one in decoys
        ],
        "command": "python -m lm_experiments verdicts",
        "more": ("claims.html", "claims and how they stand"),
    }


def answer(name: str) -> dict[str, Any]:
    """What a command answered that leaves no table, as `python -m paper measure` stored it."""
    stored = json.loads((RESULTS / "theory" / "answers.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = stored["answers"][name]["answer"]
    return found


def explained() -> dict[str, Any]:
    """Does the theory explain it? What holds in trained networks, and what the plain model cannot do."""
    found = [one for one in verdicts() if one.engine == "sims" and one.claim in PREDICTIONS and not one.exploratory]
    counts = Counter(one.status for one in found)
    return {
        "question": "Does the theory explain it?",
        "answer": (
            "Partly. The plain linear model cannot have the paper's signature: where the immediate loss vanishes nothing is latent "
            "(proved), and with ordered targets at equal step sizes its best exposure is 0 (argued). With redundant features both can "
            "happen: a linear model of them loses what only stage 2 learned and keeps what stage 1 knows (proved), by a law that follows "
            "Figure 3 with eight numbers. Whether language models are such networks nobody has measured."
        ),
        "points": [
            f"its predictions in trained networks, on fresh seeds: {', '.join(f'{n} {said}' for said, n in counts.most_common())}"
        ],
        "command": "python -m theory crosscheck published",
        "more": ("theory.html", "the mathematics, with how well each result is established"),
    }


def chosen() -> dict[str, Any]:
    """Which lambda? What the accounts of the published Figure 3 advise for its middle size (stored by `python -m paper measure`)."""
    found = answer("recommended")
    ranges = " or ".join(f"{low:.2f} to {high:.2f}" for low, high in found["good"])
    regret = found["regret"]
    return {
        "question": "Which λ should I use?",
        "answer": (
            "Give your sizes, and your own table if you have one. The accounts of Figure 3, weighted by error on curves left out, "
            "say which range costs little, how sure that is, and what to measure next. For the paper's middle corpus, compute-matched:"
        ),
        "points": [
            f"any λ from {ranges}; best on average {found['exposure']:.2f}, expected regret {regret['choice']:.3f} nats "
            f"({regret['0']:.3f} without exposure)"
        ],
        "command": "python -m theory recommend --tokens-post 1.5e8 --split compute-matched",
        "more": ("your-own-run.html", "from three text files to a verdict"),
    }

"""How the claims stand, and the answers to the three questions that a reader comes with: numbers from stored tables, words around them."""

from pathlib import Path
from typing import Any

from common.claims import STATEMENTS
from common.published import RESULTS, load
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
        cells = {engine: cell([one for one in found if (one.claim, one.engine) == (claim, engine)]) for engine in engines}
        stand[claim] = "; ".join(f"{engine}: {said}" for engine, said in cells.items() if said != "—")
    return {claim: said for claim, said in stand.items() if said}


def answers() -> list[dict[str, Any]]:
    """The three questions, each with an answer from the tables, the command that gives it, and where to read on."""
    return [helps(), explained(), chosen()]


def helps() -> dict[str, Any]:
    """Does early exposure help, and by how much? The published Figure 3a, and our language models beside their strongest decoy."""
    immediate, retained = published_change("loss_im"), published_change("loss_ret")
    decoys = [one for one in verdicts() if one.claim == "D1" and one.primary and one.value is not None and one.low is not None]
    ours = [
        f"{one.where.split(':')[0].replace('>', ' → ')}: {one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}] nats, {one.status}" for one in decoys
    ]
    return {
        "question": "Does early exposure help, and by how much?",
        "answer": f"In the paper's Figure 3a (135M parameters, one seed a point, no decoy) full exposure moves the immediate loss by {immediate:+.3f} nats and the "
        f"retained loss by {retained:+.3f}, mean of three sizes of D_post. In our small language models it gives no more than its own tokens "
        "in another order: retained loss with D_post minus that with the decoy, at matched fine-tuning loss:",
        "points": ours,
        "command": "python -m lm_experiments verdicts",
        "more": ("claims.html", "claims and how they stand"),
    }


def published_change(loss: str) -> float:
    """Change of a loss in the published Figure 3a from the smallest to the largest lambda, mean over the sizes of D_post, nats."""
    rows = [row for row in load(3).to_pylist() if row["split"] == "independent"]
    changes = []
    for size in {row["tokens_post"] for row in rows}:
        curve = {row["exposure"]: row[loss] for row in rows if row["tokens_post"] == size}
        changes.append(curve[max(curve)] - curve[min(curve)])
    return sum(changes) / len(changes)


def explained() -> dict[str, Any]:
    """Does the theory explain it? What the fits of Figure 3 leave over."""
    import pyarrow.parquet as pq

    rows = pq.read_table(RESULTS / "theory" / "crosscheck.parquet").to_pylist()
    found = [one for one in verdicts() if one.engine == "sims" and one.primary]
    met = sum(one.status == "supported" for one in found)
    errors = {row["model"]: row for row in rows if row.get("model")}
    return {
        "question": "Does the theory explain it?",
        "answer": f"Of the linear model's own predictions {met} of {len(found)} primary ones hold in trained networks. But the plain linear model cannot have the paper's "
        "signature: without redundant features nothing is latent, and at equal step sizes its best exposure is 0 (both proved). A law in which "
        "what only stage 2 learned is lost at a rate follows Figure 3 with fewer numbers. It is a description, not a mechanism.",
        "points": [] if not errors else [f"{len(errors)} models and laws are compared on curves that their fit did not see"],
        "command": "python -m theory crosscheck published",
        "more": ("theory.html", "the mathematics, with how well each result is established"),
    }


def chosen() -> dict[str, Any]:
    """Which lambda? What the accounts of the published Figure 3 advise for its middle size."""
    from common.console import Output, plain
    from theory.commands.recommend import Recommend

    document = Recommend(tokens_post=1.5e8, split="compute-matched", json=True).run(Output(as_json=True))
    document = plain(document)
    return {
        "question": "Which λ should I use?",
        "answer": "Give your sizes, and your own table if you have one: the accounts of Figure 3, weighted by their error on curves left out, give a range that "
        "costs little, how sure it is, and which cells to measure next. For the paper's middle corpus, compute-matched:",
        "points": [said(document)],
        "command": "python -m theory recommend --tokens-post 1.5e8 --split compute-matched",
        "more": ("your-own-run.html", "from three text files to a verdict"),
    }


def said(document: Any) -> str:
    """A recommendation in a line."""
    found = document["recommendation"]
    ranges = " or ".join(f"{low:.2f} to {high:.2f}" for low, high in found["good"])
    ret = found["ret"]
    return (
        f"any λ from {ranges}; best on average {found['exposure']:.2f}, which changes the retained loss by {ret['mean']:+.3f} "
        f"[{ret['low']:+.3f}, {ret['high']:+.3f}] nats and is better than 0 with probability {found['better']:.2f}"
    )

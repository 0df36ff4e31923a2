"""Stage settings of one cell of every study, written down: `python -m tests.lm_experiments.golden` adds studies that are new.

What is written down already is never changed by it: whoever means to change what a study trains removes the entry first.
"""

import json
from pathlib import Path
from typing import Any

from common.settings import canonical
from lm_experiments.pipeline import Pipeline
from lm_experiments.studies import STUDIES, named

FILE = Path(__file__).parent / "golden_stages.json"
FIRST = ("smoke", "fig3a", "fig3b", "fig3a-replay", "fig3b-replay")
"""Studies whose first cell is written down at the scales that were measured. Of the others it is the last one with three stages, of the
last arm, which differs most from the first."""


class Endless:
    """A store that is as large as is asked for."""

    fingerprint = "f"

    def windows(self, length: int) -> int:
        """More than any stage reads."""
        return 1 << 27

    def window(self, index: int, length: int) -> Any:
        """Nobody reads it."""
        raise NotImplementedError


def stages(key: str) -> dict[str, Any]:
    """Settings that are not at their default, by stage, of a study's cell; key: STUDY/SCALE."""
    name, scale = key.split("/")
    study = named(name, scale)
    first = name in FIRST and scale in ("nano", "micro", "mini")
    cells = study.cells() if first else reversed(list(study.chosen([study.arms[-1].name]).cells()))
    made = (Pipeline(cell, lambda _: Endless()).nodes for cell in cells)
    nodes = next(nodes for nodes in made if len(nodes) == 3)
    found = {kind: next(iter(canonical(node.settings, defaults=False).values())) for kind, node in nodes.items()}
    return dict(json.loads(json.dumps(found)))


def main() -> None:
    """Write down what is not yet."""
    known = json.loads(FILE.read_text())
    keys = ["/".join(key) for key in STUDIES]
    entries = {key: known.get(key) or stages(key) for key in keys}
    lines = [f' "{key}": {{\n' + ",\n".join(f'  "{kind}": {json.dumps(of)}' for kind, of in entry.items()) + "\n }"
             for key, entry in entries.items()]  # fmt: skip
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(entries)} studies, {len(entries.keys() - known.keys())} of them new, in {FILE.name}.")


if __name__ == "__main__":
    main()

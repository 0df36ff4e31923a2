"""The pages of `examples/` as Jupyter notebooks, without outputs: what a script of cells says, in the format that notebooks have."""

import re
from typing import Any


def notebook(script: str) -> dict[str, Any]:
    """A notebook (nbformat 4.5) of a script whose cells begin with `# %%`, those of text with `# %% [markdown]`.

    Args:
        script: the text of the script; what stands before its first cell is left out.
    """
    cells: list[dict[str, Any]] = []
    for part in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        lines = body.strip("\n").split("\n")
        cell: dict[str, Any] = {"id": f"cell-{len(cells)}", "metadata": {}}
        if head.strip() == "[markdown]":
            text = [line.removeprefix("#").removeprefix(" ") for line in lines]
            cell |= {"cell_type": "markdown", "source": "\n".join(text)}
        else:
            cell |= {"cell_type": "code", "source": "\n".join(lines), "execution_count": None, "outputs": []}
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }

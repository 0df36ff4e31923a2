"""The numbers that a picture shows, read off its artists: what the CSV beside it holds."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import PathCollection, PolyCollection, QuadMesh
from matplotlib.figure import Figure

HEAD = ("panel", "title", "x_name", "y_name", "kind", "label", "colour", "x", "y", "value")


def write(figure: Figure, path: Path) -> None:
    """Write the points of all lines, markers and maps, a row per point, in data units.

    Args:
        figure: the drawn figure.
        path: the file. `panel` counts axes from 0 in reading order; `value` is what a map's colour stands for.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEAD)
        writer.writerows(rows(figure))


def rows(figure: Figure) -> Iterator[tuple[Any, ...]]:
    """The rows of `write`."""
    panels = [ax for ax in figure.axes if ax.axison and ax.get_label() != "<colorbar>"]
    for panel, ax in enumerate(panels):
        title = ax.get_title("left") or ax.get_title()
        names = (panel, *(" ".join(text.split()) for text in (title, ax.get_xlabel(), ax.get_ylabel())))
        for line in ax.lines:
            if line.get_transform() == ax.transData:  # a line across the axes is no datum
                points = np.asarray(line.get_xydata(), dtype=float)
                yield from _points(names, "line", line, str(line.get_color()), points)
        for drawn in ax.collections:
            if isinstance(drawn, PathCollection):
                yield from _points(names, "marker", drawn, "", np.asarray(drawn.get_offsets(), dtype=float))
            elif isinstance(drawn, QuadMesh):
                corners: Any = drawn.get_coordinates()
                middle = (corners[:-1, :-1] + corners[1:, 1:]) / 2
                yield from _map(names, middle.reshape(-1, 2), drawn.get_array())
            elif isinstance(drawn, PolyCollection) and drawn.get_array() is not None:  # rectangles; a band has no array
                corners = np.array([np.asarray(path.vertices)[:4] for path in drawn.get_paths()])
                yield from _map(names, corners.reshape(-1, 4, 2).mean(axis=1), drawn.get_array())


def _map(names: tuple[Any, ...], middle: Any, values: Any) -> Iterator[tuple[Any, ...]]:
    """What the colour of every cell stands for, at the middle of it. The csv module writes floats so that they are read back equal."""
    places = np.asarray(middle, dtype=float).tolist()
    for (x, y), value in zip(places, np.asarray(values, dtype=float).ravel().tolist(), strict=True):
        yield (*names, "map", "", "", x, y, value)


def _points(names: tuple[Any, ...], kind: str, artist: Any, colour: str, points: Any) -> Iterator[tuple[Any, ...]]:
    label = str(artist.get_label())
    shown = "" if label.startswith("_") else label
    for x, y in points[np.isfinite(points).all(axis=1)].tolist():
        yield (*names, kind, shown, colour, x, y, "")

"""`python -m lm_experiments studies`: which studies there are, at which sizes, and what the paper leaves unstated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from common.console import Command, Json, Output
from common.settings import WrongUse
from lm_experiments.studies import STUDIES, named, saved
from lm_experiments.studies.unstated import UNSTATED


@dataclass(frozen=True, kw_only=True)
class Studies(Command):
    """List the studies and how many pipelines each has at each scale; with a name, its arms and axes; with --unstated, our choices.

    What a study costs says `python -m lm_experiments plan STUDY`.
    Example: python -m lm_experiments studies fig2 --scale 135m
    """

    name: Positional[str] = ""
    """A study, or its file; all of them where it is left out."""
    scale: str = ""
    """Scale of that study [default: its first]."""
    unstated: bool = False
    """Print what the paper leaves unstated, what was chosen, and why."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Print, return the same as plain data. Raises `WrongUse` for an unknown study."""
        if self.unstated:
            if self.name:
                raise WrongUse(f"--unstated holds for all studies. Leave {self.name} out.")
            rows = [(key, one.about, spelled(one.values), one.reason) for key, one in UNSTATED.items()]
            out.table("What the paper leaves unstated", ("", "what", "chosen", "because"), rows)
            return {key: {**one._asdict(), "values": dict(one.values)} for key, one in UNSTATED.items()}
        return self._one(out) if self.name else self._all(out)

    def _all(self, out: Output) -> Any:
        found: dict[str, Any] = {}
        for (name, scale), study in STUDIES.items():
            entry = found.setdefault(name, {"about": study.about, "pipelines": {}})
            entry["pipelines"][scale] = study.size
        rows = [
            (name, of["about"], ", ".join(f"{scale} {count:,}" for scale, count in of["pipelines"].items()))
            for name, of in found.items()
        ]
        out.table("Studies, pipelines at each scale", ("", "what", "pipelines"), rows)
        return found

    def _one(self, out: Output) -> Any:
        scales = [scale for name, scale in STUDIES if name == self.name]
        given = saved.is_file(self.name)
        study = saved.read(Path(self.name)) if given else named(self.name, self.scale or (scales[0] if scales else ""))
        out.show(f"{study.name} at {study.base.scale}: {study.about}. {study.size:,} pipelines.")
        shared = spelled({axis.field: axis.values for axis in study.axes})
        arms = [
            (arm.name or "(one)", spelled({**arm.changes, **{axis.field: axis.values for axis in arm.axes}}))
            for arm in study.arms
        ]
        out.show(f"Axes: {shared}")
        out.table("Arms", ("", "settings and axes of its own"), arms)
        return {
            "name": study.name,
            "scale": study.base.scale,
            "about": study.about,
            "pipelines": study.size,
            "axes": {axis.field: axis.values for axis in study.axes},
            "arms": {
                arm.name: {"changes": dict(arm.changes), "axes": {a.field: a.values for a in arm.axes}}
                for arm in study.arms
            },
        }


def spelled(values: Any) -> str:
    """Settings and their values, as in stage2.lr 0.0001 0.0002."""

    def one(value: Any) -> str:
        if isinstance(value, tuple):
            return " ".join(map(one, value))
        return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)

    return ", ".join(f"{name} {one(value)}" for name, value in values.items())

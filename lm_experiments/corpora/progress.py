"""How the making of stores and tokenizers is shown."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from common.console import Output
from lm_experiments.corpora.corpus import Report


@contextmanager
def reporting(out: Output) -> Iterator[Report]:
    """A function that shows on standard error what is being done: a bar with ETA on a terminal, else a line when it begins."""
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

    live = sys.stderr.isatty()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=out.errors, transient=True, disable=not live) as bars:

        def report(what: str, fraction: float | None) -> None:
            if what not in tasks:
                for finished in tasks.values():
                    bars.update(finished, visible=False)
                tasks[what] = bars.add_task(what, total=None)
                if not live:
                    print(what, file=sys.stderr)
            bars.update(tasks[what], total=None if fraction is None else 1.0, completed=fraction)

        yield report

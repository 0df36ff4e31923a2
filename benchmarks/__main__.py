"""`make bench`: every benchmark in one run, as settings or tokens per second and as ratios; takes about ten minutes."""

from common import interrupts

PARTS = ("solvers", "training")


def main() -> None:
    """Measure and print; what is measured is loaded after the command line is understood."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the toolkit against its alternatives."
    )
    parser.add_argument("part", nargs="?", choices=PARTS, help="measure this part alone")
    chosen = parser.parse_args().part
    from benchmarks import measured
    from common.console import Output

    for part in [chosen] if chosen else PARTS:
        measured.PARTS[part](Output(as_json=False))


if __name__ == "__main__":
    interrupts.listen()
    main()

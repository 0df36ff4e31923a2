"""`python -m figures`: every picture of the toolkit."""

from common import interrupts

if __name__ == "__main__":
    interrupts.listen()

    from common.console import main
    from figures.commands import COMMANDS

    main("figures", COMMANDS, "Every picture of the toolkit, drawn from results tables.")

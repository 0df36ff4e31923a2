"""`python -m paper`: the text's numbers, the provenance of stored tables, and the PDF."""

from common import interrupts

if __name__ == "__main__":
    interrupts.listen()

    from common.console import main
    from paper.commands import COMMANDS

    main("paper", COMMANDS, "The paper: its numbers, the provenance of what is stored, and the PDF.")

"""`python -m gallery`: builds the static site."""

from common import interrupts

if __name__ == "__main__":
    interrupts.listen()

    from common.console import main
    from gallery.commands import COMMANDS

    about = "A static site: every figure with its finding and command, the claims, the errata, and an explorer of the closed forms."
    main("gallery", COMMANDS, about)

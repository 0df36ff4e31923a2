"""`python -m sims`: simulations of full networks, next to and beyond the closed forms."""

from common import interrupts

if __name__ == "__main__":
    interrupts.listen()

    from common.console import main
    from sims.commands import commands

    about = "Full networks trained through the three stages, where the theory holds and where it breaks."
    main("sims", commands(), about)

"""`python -m sims`: simulations of full networks, next to and beyond the closed forms."""

from common.console import main
from sims.commands import commands

if __name__ == "__main__":
    main(
        "sims",
        commands(),
        "Full networks trained through the three stages, where the theory holds and where it breaks.",
    )

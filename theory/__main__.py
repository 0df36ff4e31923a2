"""`python -m theory`: the linear model, solved in closed form."""

from theory.commands import COMMANDS
from theory.console import main

if __name__ == "__main__":
    main("theory", COMMANDS, "The two-layer linear model of early data exposure, solved in closed form.")

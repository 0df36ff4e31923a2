"""`python -m theory`: the linear models, solved."""

import sys

from common import interrupts

if __name__ == "__main__":
    interrupts.listen()

    from common.console import main
    from theory.commands import commands

    main("theory", commands(sys.argv[1:]), "The two-layer linear models of early data exposure, solved.")

"""`python -m lm_experiments`: language models, from corpora to verdicts."""

from lm_experiments.commands import COMMANDS
from theory.console import main

if __name__ == "__main__":
    main("lm_experiments", COMMANDS, "Early data exposure in language models, on real text.")

"""`python -m lm_experiments`: language models, from corpora to verdicts."""

from common import interrupts

if __name__ == "__main__":
    interrupts.listen()

    from common.console import main
    from lm_experiments.commands import COMMANDS

    main("lm_experiments", COMMANDS, "Early data exposure in language models, on real text.")

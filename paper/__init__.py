"""The paper: its text, the numbers in it, and where the stored tables come from.

Every number of the text is a macro of `macros.tex`, which `python -m paper macros` writes from stored tables (`paper.numbers`).
"""

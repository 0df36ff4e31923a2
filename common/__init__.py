"""The vocabulary that all engines share: recipe, losses, settings and hashes, the results table, seeds, verdicts, published numbers.

The ground floor: it imports no other room, and nothing heavy when it is imported (no jax, torch or plotting).
"""

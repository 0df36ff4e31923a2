"""`python -m gallery`: builds the static site."""

from common.console import main
from gallery.commands import COMMANDS

main(
    "gallery",
    COMMANDS,
    "A static site: every figure with its finding and command, the claims, the errata, and an explorer of the closed forms.",
)

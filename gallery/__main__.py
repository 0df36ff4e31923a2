"""`python -m gallery`: builds the static site."""

from gallery.commands import COMMANDS
from common.console import main

main("gallery", COMMANDS, "A static site: every figure with its finding and command, the claims, the errata, and an explorer of the closed forms.")

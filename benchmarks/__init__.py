"""Speed, measured against plain alternatives in one run: `make bench`."""

"""Pictures: every figure is a function from results tables to a matplotlib figure, and never trains or solves anything."""

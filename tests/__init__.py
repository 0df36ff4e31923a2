"""The proof that it works; mirrors the rooms."""

"""Strategies draw the same posterior: long runs side by side. Marked slow."""

"""Criticism: are the draws, the design and the model any good."""

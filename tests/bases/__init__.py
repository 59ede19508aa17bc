"""Bases of smooths against mgcv."""

"""Strategies that replace a compiled graph: exact, precompiled numerical cores."""

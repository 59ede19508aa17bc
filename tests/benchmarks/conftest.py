"""Benchmarks are a command, not tests: nothing here is collected, doctests included."""

collect_ignore_glob = ["*"]

"""Speed and effective draws beside those of other packages, measured in the same run.

Not tests: `python -m tests.benchmarks` runs them; docs/benchmarks.md says how and what came out.
"""

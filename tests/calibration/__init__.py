"""Simulation-based calibration: do the parameters that made the data lie anywhere among the draws?

Talts, Betancourt, Simpson, Vehtari & Gelman (2018), Validating Bayesian inference algorithms with simulation-based
calibration, arXiv:1804.06788. Minutes of sampling: marked slow. docs/calibration.md shows the last result.
"""

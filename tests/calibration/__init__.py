"""Simulation-based calibration: parameters from the prior, data from the parameters, ranks of the former in the posterior.

Talts, Betancourt, Simpson, Vehtari & Gelman (2018), Validating Bayesian inference algorithms with simulation-based
calibration, arXiv:1804.06788. Minutes of sampling: marked slow. docs/calibration.md shows the last result.
"""

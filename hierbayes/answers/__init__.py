"""Answers: numbers and tables from the draws."""

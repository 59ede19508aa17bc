"""Data: tables and sources in, what is learnt of their columns, rows as arrays."""

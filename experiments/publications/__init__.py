"""Rows of ``published.py``: published values for one-node networks, and how ours are measured."""

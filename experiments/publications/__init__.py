"""Rows of ``published.py``: what is published about one-node networks, and how ours is measured."""

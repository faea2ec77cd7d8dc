"""Engines: each trains arrays of networks to the bits of the same specification."""

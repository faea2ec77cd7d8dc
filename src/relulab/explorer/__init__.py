"""A map of fates to walk in: it trains while one looks."""

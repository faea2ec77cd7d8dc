"""How ragged the borders between fates are, and how large their basins."""

"""Two columns of numbers from tables and CSV files, as people write them."""

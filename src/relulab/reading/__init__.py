"""Read two columns of numbers from tables and from CSV files in common notations."""

"""Reports over a stock list."""

"""Several processes that are one edge: what starts and ends them, and the numbers that they share."""

"""A pool in simulated time: what the balancing methods make of a load, before it is real."""

"""A fleet in simulated time: its own deciders, and clients, regions and faults that are made up."""

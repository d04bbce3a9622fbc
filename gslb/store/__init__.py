"""The shared state: what every process knows of the fleet, kept in step through Redis."""

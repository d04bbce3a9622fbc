"""The plain requests and responses of the edge in C; Python decides what they are not sure of."""

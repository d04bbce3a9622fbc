"""The data path: client protocol, server protocol, and the exchange that joins them."""

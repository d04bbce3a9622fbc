"""TLS at both ends of the edge: certificates for clients, verification of servers."""

"""Balancing below HTTP: connections and datagrams are passed on as they are."""

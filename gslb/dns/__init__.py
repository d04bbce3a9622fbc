"""Tier 1: authoritative answers, from a packet to a packet."""

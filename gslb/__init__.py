"""Global server load balancing: the DNS tier, and all that both tiers share."""

__version__ = "0.1.0"

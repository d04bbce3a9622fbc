"""regions.yaml to a Fleet, or every error in it at once, each with its place and its remedy."""

from gslb.config.reading import CheckResult, check, load

__all__ = ["CheckResult", "check", "load"]

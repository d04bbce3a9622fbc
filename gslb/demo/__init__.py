"""The demo world: the whole fleet of a regions.yaml as real processes on one machine."""

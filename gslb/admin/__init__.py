"""The HTTP side of a process: state, metrics, its own health, and a page for people."""

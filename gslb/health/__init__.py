"""Health: how targets are probed, and how what observers see becomes one verdict."""

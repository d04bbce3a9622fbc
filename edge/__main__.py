"""`python -m edge` is the command `gslb-edge`."""

from edge.cli import main

main()

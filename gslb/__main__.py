"""`python -m gslb` is the command `gslb`."""

from gslb.cli import main

main()

"""Ends the whole demo when the demo itself is gone, however it went: a pipe closes even after kill -9.

Run as a script. It leads the process group that all of the demo's processes are started in, and blocks on
its standard input, whose other end only the demo holds.
"""

import os
import signal
import sys

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while sys.stdin.buffer.read(1024):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)

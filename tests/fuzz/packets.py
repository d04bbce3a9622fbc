"""The long-running fuzzer of the DNS side: `make fuzz`. Atheris steers it by what code a packet reaches."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gslb.dns"]):
    from fuzz.checker import HEADER, Checker, signed
    from fuzz.corpus import queries

SECONDS = int(os.environ.get("FUZZ_SECONDS", "60"))
DIRECTORY = Path("build", "fuzz")
LONGEST_PACKET = 1500


def main() -> None:
    """Ends with status 0 after FUZZ_SECONDS, or at the first finding, whose packet it leaves in a file."""
    found, seeds = DIRECTORY / "corpus", DIRECTORY / "seeds"
    for directory in (found, seeds):
        directory.mkdir(parents=True, exist_ok=True)
    for number, packet in enumerate(queries()):
        (seeds / f"{number:04}").write_bytes(packet)
    checker = Checker()

    def check(packet: bytes) -> None:
        checker.check(packet)
        if len(packet) >= HEADER.size:
            # No mutation finds a valid signature; so that code behind one is reached too, sign everything.
            checker.check(signed(packet))

    options = [
        f"-max_total_time={SECONDS}",
        f"-max_len={LONGEST_PACKET}",
        f"-artifact_prefix={DIRECTORY}/",
        "-print_final_stats=1",
        "-timeout=10",
    ]
    # Packets to try again can be named on the command line; what was interesting before is kept between runs.
    inputs = sys.argv[1:] or [str(found), str(seeds)]
    atheris.Setup([sys.argv[0], *options, *inputs], check)
    with checker.watching():
        atheris.Fuzz()


if __name__ == "__main__":
    main()

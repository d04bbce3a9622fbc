"""How soon do all DNS nodes answer otherwise, when a region is lost, its servers are, or an operator says so?

Run from the checkout: `python bench/health/run.py --rounds 30`. Three nodes, a real edge in one of three
regions and a Redis are on this machine; clients ask every node some hundred times a second, and the time is
taken at which the last node's answer has changed. Rounds begin at a random moment between two probes.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "rig"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "chaos"))

from changes import CHANGES, Stage
from tables import Column, circumstances, figure, topic_tables, words

COLUMNS: tuple[Column, ...] = (
    words("what", "what"),
    words("from", "since"),
    figure("rounds", "rounds", "d"),
    figure("p50 ms", "p50", ".0f"),
    figure("p99 ms", "p99", ".0f"),
    figure("most ms", "most", ".0f"),
    figure("bound ms", "bound", ".0f"),
)


def quantile(values: list[float], share: float) -> float:
    """The least value that so many of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


async def measure(rounds: int) -> list[dict[str, object]]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="gslb-health-") as folder:
        async with Stage.open(Path(folder)) as stage:
            for change in CHANGES:
                taken = [1000 * await change.once(stage) for _ in range(rounds)]
                rows.append(
                    {
                        "what": change.what,
                        "since": change.since,
                        "rounds": rounds,
                        "p50": quantile(taken, 0.5),
                        "p99": quantile(taken, 0.99),
                        "most": max(taken),
                        "bound": 1000 * change.bound,
                    }
                )
                print(f"{change.what}: done", file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="of each (30)")
    parser.add_argument("--markdown", action="store_true", help="print a table in Markdown")
    options = parser.parse_args()
    where = circumstances(os.getloadavg()[0])
    rows = asyncio.run(measure(options.rounds))
    machine, busy = where["machine"], where["machine"]["load_before"]
    print(f"{where['date']}; {machine['processor']}, {machine['cores']} cores; load of others {busy:.1f}")
    document = {"topics": {"changes": {"title": "Until every node answers otherwise", "rows": rows}}}
    print("\n".join(topic_tables(document, {"changes": COLUMNS}, markdown=options.markdown)))


if __name__ == "__main__":
    main()

"""Numbers every pair of a service and one of its regions, so that answers are counted in a plain list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from gslb.fleet import Fleet


class ServedPlaces:
    """Of one fleet. first: by service, the number of the pair with its first region; the others follow it.

    size: how many pairs there are.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._services = fleet.services
        sizes = [len(service.regions) for service in fleet.services.values()]
        self.first = dict(zip(fleet.services, accumulate(sizes, initial=0), strict=False))
        self.size = sum(sizes)

    def by_region(self, counts: Sequence[int]) -> Counter[tuple[str, str]]:
        """The counts that are not 0, by service and region."""
        return Counter(
            {
                (name, region): counts[number]
                for name, service in self._services.items()
                for number, region in enumerate(service.regions, self.first[name])
                if counts[number]
            }
        )

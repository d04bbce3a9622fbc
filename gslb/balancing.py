"""What a pool's file says of how requests are divided: the methods' names and options, and the key.

`edge.balance` has the methods themselves, one file each, under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field, InstanceOf, WithJsonSchema


class BalancingMethod(StrEnum):
    """The names of the methods that `edge.balance` implements, one file each."""

    ROUND_ROBIN = "round_robin"
    WEIGHTED_ROUND_ROBIN = "weighted_round_robin"
    RANDOM = "random"
    IP_HASH = "ip_hash"
    CONSISTENT_HASH = "consistent_hash"
    LEAST_CONNECTIONS = "least_connections"
    POWER_OF_TWO = "power_of_two"
    LEAST_RESPONSE_TIME = "least_response_time"
    LEAST_LOADED = "least_loaded"
    FIRST_AVAILABLE = "first_available"
    THEN = "then"


class MethodOptions(BaseModel, extra="forbid", frozen=True):
    """Root of all methods' options, so that unknown keys are errors everywhere."""


@dataclass(frozen=True, slots=True)
class Balancing:
    """A method with its options; None: it has none, or they are all as they are when nothing is said."""

    name: BalancingMethod = BalancingMethod.ROUND_ROBIN
    options: MethodOptions | None = None

    def uses(self, *names: BalancingMethod) -> bool:
        """Whether it is one of these methods, or combines one of them."""
        options = self.options
        parts = [] if options is None else [getattr(options, part) for part in part_names(type(options))]
        return self.name in names or any(part.uses(*names) for part in parts)


def part_names(model: type[MethodOptions]) -> list[str]:
    """The options that are methods themselves."""
    return [name for name, field in model.model_fields.items() if field.annotation is Balancing]


# What it looks like in a file, gslb.config.schema says.
Part = Annotated[InstanceOf[Balancing], WithJsonSchema({})]
Bound = Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)]


class ConsistentHashOptions(MethodOptions):
    """Options of `consistent_hash`. The lower the bound, the more keys leave a server while it is busy."""

    bound: Bound | None = Field(
        None,
        description="a server with more than so many times the average in flight, for its weight, is passed "
        "over; 1 or more; default: none ever is",
    )


class PowerOfTwoOptions(MethodOptions):
    """Options of `power_of_two`."""

    response_time: bool = Field(
        False, description="whether response times count too, as `least_response_time` has it"
    )


class ThenOptions(MethodOptions):
    """Options of `then`."""

    first: Part = Field(description="the method that chooses a server")
    second: Part = Field(description="the method that chooses where the first one's server has no room")
    bound: Bound | None = Field(
        None,
        description="the first one's server has room up to so many times the average in flight, for its "
        "weight; 1 or more; default: up to its own `max_connections`",
    )


METHOD_OPTIONS: Mapping[BalancingMethod, type[MethodOptions]] = {
    BalancingMethod.CONSISTENT_HASH: ConsistentHashOptions,
    BalancingMethod.POWER_OF_TWO: PowerOfTwoOptions,
    BalancingMethod.THEN: ThenOptions,
}
"""Of those methods that have any."""

HASHING = (BalancingMethod.IP_HASH, BalancingMethod.CONSISTENT_HASH)
"""The methods to which the key makes a difference."""


class KeyKind(StrEnum):
    """Where a request says what methods that hash go by."""

    ADDRESS = "address"
    HEADER = "header"
    COOKIE = "cookie"
    PATH = "path"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class BalancingKey:
    """What requests that shall go to one server have in common.

    name: of the header field (in lower case), the cookie, or the parameter of the query; else empty.
    """

    kind: KeyKind = KeyKind.ADDRESS
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else str(self.kind)

"""Names in one section that another one declares: a wrong one is found where all else is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from gslb.config.suggest import remedy
from gslb.config.values import Text
from gslb.config.wrong_value import WrongError


@dataclass(frozen=True, slots=True)
class Declared:
    """The names that the file declares, right or wrong otherwise; references are checked against them.

    Passed as pydantic's validation context. A section that cannot be read is not in `names`, and references
    to it are not checked.
    """

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def reference(section: str, singular: str) -> AfterValidator:
    """A validator that the text is a name declared in `section`."""

    def check(name: str, info: ValidationInfo) -> str:
        if isinstance(info.context, Declared) and section in info.context.names:
            known = info.context.names[section]
            if name not in known:
                hint = f"declare it under `{section}:`"
                raise WrongError(
                    f"there is no {singular} {{value}}", hint, derived=remedy(name, known, section)
                )
        return name

    return AfterValidator(check)


RegionReference = Annotated[Text, reference("regions", "region")]
PoolReference = Annotated[Text, reference("pools", "pool")]
CheckReference = Annotated[Text, reference("checks", "check")]

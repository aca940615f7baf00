"""What every section of the configuration is made of: its base class, durations, paths."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
NAME = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"


def _duration_s(value: object) -> object:
    """Return "1.5m" and "90" as 90.0; anything but a string is left to pydantic."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\s*", value)
    if match is None:
        msg = f"{value!r} is not a duration; write seconds (90) or a unit ('90s', '5m', '1h')"
        raise ValueError(msg)
    return float(match[1]) * _UNIT_S[match[2] or "s"]


def beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """Return ``path`` as seen from the configuration file: a service runs elsewhere.

    Raises:
        ValueError: It begins with a shell's ``~``.
    """
    if path.parts[:1] == ("~",):
        msg = f"{path}: '~' stands for nobody's home here; write the whole path"
        raise ValueError(msg)
    return Path((info.context or {}).get("base_dir", Path())) / path


FilePath = Annotated[Path, AfterValidator(beside_the_file)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, BeforeValidator(_duration_s), Field(gt=0.0, le=86400.0)]
LONGEST_DAYS = 36_500  # a century; 999,999 days ago there was no calendar to count in
Period = Annotated[
    float, BeforeValidator(_duration_s), Field(gt=0.0, le=LONGEST_DAYS * 86400.0)
]
Days = Annotated[int, Field(ge=1, le=LONGEST_DAYS)]


class Section(BaseModel):
    """Base of every section: immutable and strict about keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="wrap")
    @classmethod
    def _yes_is_no_number(cls, value: object, check: ValidatorFunctionWrapHandler) -> object:
        """Refuse ``clip_mb: yes``, which would be 1; a switch has no units."""
        checked = check(value)
        if isinstance(value, bool) and not isinstance(checked, bool):
            msg = "must be a number, and not yes or no (on, off, true, false)"
            raise ValueError(msg)  # noqa: TRY004 - what pydantic collects
        return checked

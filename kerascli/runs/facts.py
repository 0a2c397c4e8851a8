"""run.json, read: what later commands rely on has the form that we write, or the file is refused."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from kerascli.errors import FileRefused, show
from kerascli.runs.reading import quoted, read_json


class _Plugin(BaseModel):
    model_config = ConfigDict(strict=True)

    file: str
    sha256: str


class _Facts(BaseModel):
    """The facts that are read again; all others are for people, in any form."""

    model_config = ConfigDict(strict=True)

    status: str = ""
    started: str = ""
    resumed: list[str] = []
    seconds: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    device: str | None = None
    threads: Annotated[int, Field(ge=1, le=4096)] | None = None
    tier: str | None = None
    data: dict[str, str] = {}
    plugins: list[_Plugin] = []
    weights_sha256: str | None = None
    directions: dict[str, Literal["min", "max"]] = {}
    results: dict[str, dict[str, float | None]] | None = None


def read_facts(path: Path) -> dict[str, Any]:
    """All that a run.json says; FileRefused where it says something that cannot be."""
    facts = read_json(path)
    try:
        _Facts.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        what = "is missing" if first["type"] == "missing" else f"cannot be {show(first['input'])}"
        raise FileRefused(f"{quoted(path)} is damaged: {quoted(name)} {what}") from None
    return facts

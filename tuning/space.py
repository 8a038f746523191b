"""The search space: which settings are searched, and among which values."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, NamedTuple, Self

import pydantic
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ConfigDict, Field

from components.common import feature_config as fc
from components.common.config import load as load_model
from components.common.errors import InputError
from trainer_image.options import AFTERWARDS, OF_THE_MACHINE, PATHS, Options

Number = Annotated[pydantic.FiniteFloat, pydantic.Strict()]  # not a boolean, which YAML makes of yes and no
Value = pydantic.StrictInt | Number | pydantic.StrictStr

LAYERS, DIM = "layers", "dim."
NOT_SEARCHED = (*PATHS, *OF_THE_MACHINE, *AFTERWARDS, "warm_start_from", "top_k", "seed", "jit_compile")
TRAINER = {field.name: field.type for field in fields(Options) if field.name not in NOT_SEARCHED}
REMEDY = "Correct this entry; tuning/space.yaml is an example."


class Range(pydantic.BaseModel):
    """All numbers from low to high; whole ones for a setting that is a whole number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: Number
    high: Number
    log: pydantic.StrictBool = Field(
        default=False, description="Orders of magnitude are equally likely, in place of values."
    )

    @pydantic.model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError("high must be above low")
        if self.log and self.low <= 0:
            raise ValueError("low must be above 0 where log is true")
        return self


class Choices(pydantic.BaseModel):
    """Some values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    choices: tuple[Value, ...] = Field(min_length=2)


def _sort(entry: Any) -> str:
    return "choices" if isinstance(entry, Choices) or (isinstance(entry, dict) and "choices" in entry) else "range"


Entry = Annotated[
    Annotated[Range, pydantic.Tag("range")] | Annotated[Choices, pydantic.Tag("choices")], pydantic.Discriminator(_sort)
]


class Space(pydantic.RootModel[dict[str, Entry]]):
    """What is searched, by name."""


class Settings(NamedTuple):
    """What one training is told."""

    options: Options
    config: fc.FeatureConfig


def load(text: str, given: Settings) -> dict[str, BaseDistribution]:
    """Reads the search space and tries the ends and choices of every entry.

    Args:
        text: The YAML or JSON text itself, or a path to it.
        given: The settings that the search begins with.

    Returns:
        {name: where its values come from}.

    Raises:
        InputError: naming the entry that is no setting, or has a value that the Trainer would refuse.
    """
    space = load_model(Space, text, "search space", REMEDY).root
    if not space:
        raise InputError(text, "no entry", "at least one setting to search", REMEDY)
    for name, entry in space.items():
        _expect_known(name, given.config)
        for value in entry.choices if isinstance(entry, Choices) else (entry.low, entry.high):
            applied(given, {name: _number(name, value)})
    return {name: _distribution(name, entry) for name, entry in space.items()}


def applied(given: Settings, parameters: Mapping[str, Any]) -> Settings:
    """The settings with some of them replaced.

    Raises:
        InputError: a value is not one that the Trainer takes.
    """
    told = {name: value for name, value in parameters.items() if name in TRAINER}
    document = given.config.model_dump(mode="json")
    for name, value in parameters.items():
        if name == LAYERS:
            document["query"][LAYERS] = document["candidate"][LAYERS] = _widths(value)
        elif name.startswith(DIM):
            for side, place, key in _with_dim(given.config):
                if key == name.removeprefix(DIM):
                    document[side]["features"][place]["dim"] = value
    try:
        config = fc.FeatureConfig.model_validate(document)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        named = ", ".join(name for name in parameters if name not in TRAINER)
        raise InputError(f"search space, {named}", repr(first["input"]), first["msg"], REMEDY) from None
    options = replace(given.options, **told)
    try:
        options.check()
    except InputError as error:
        named = error.where.removeprefix("--").replace("-", "_")
        raise InputError(f"search space, {named}", error.found, error.expected, REMEDY) from None
    return Settings(options, config)


def _expect_known(name: str, config: fc.FeatureConfig) -> None:
    dims = [f"{DIM}{key}" for _, _, key in _with_dim(config)]
    known = [*TRAINER, LAYERS, *dims]
    if name not in known:
        raise InputError("search space", f"an entry {name}", f"one of {', '.join(known)}", REMEDY)


def _with_dim(config: fc.FeatureConfig) -> Iterator[tuple[str, int, str]]:
    """Tower, place and key of the features that have a width."""
    for side, tower in (("query", config.query), ("candidate", config.candidate)):
        for place, feature in enumerate(tower.features):
            if hasattr(feature, "dim") and getattr(feature, "transform", "") != "normalize":  # which is no embedding
                yield side, place, feature.key


def _widths(value: Any) -> list[int]:
    """[128, 64] of "128-64"."""
    try:
        return [int(part) for part in str(value).split("-")]
    except ValueError:
        raise InputError(f"search space, {LAYERS}", repr(value), "widths such as 128-64", REMEDY) from None


def _is_whole(name: str) -> bool:
    return name.startswith(DIM) or TRAINER.get(name) is int


def _number(name: str, value: Value) -> Value:
    """The value, of the setting's type."""
    if name == LAYERS:
        return str(value)
    if name.startswith(DIM) and value == "auto":
        return value
    expected = int if _is_whole(name) else TRAINER.get(name)
    if expected in (int, float) and isinstance(value, str):
        try:
            value = float(value)  # written in quotes
        except ValueError:
            raise InputError(f"search space, {name}", repr(value), "a number", REMEDY) from None
    if expected is int:
        if value != int(value):
            raise InputError(f"search space, {name}", str(value), "a whole number", REMEDY)
        return int(value)
    return float(value) if expected is float else value


def _distribution(name: str, entry: Range | Choices) -> BaseDistribution:
    if isinstance(entry, Choices):
        return CategoricalDistribution([_number(name, value) for value in entry.choices])
    if _is_whole(name):
        return IntDistribution(int(entry.low), int(entry.high), log=entry.log)
    if TRAINER.get(name) is not float:
        raise InputError(f"search space, {name}", "low and high", "choices", REMEDY)
    return FloatDistribution(entry.low, entry.high, log=entry.log)

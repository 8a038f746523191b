"""The feature config: which columns each tower sees, and how. One YAML or JSON text, checked before anything is spent.

`python -m components.common.feature_config --schema` prints the JSON schema, for a UI to render.
"""

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Literal, get_args

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from components.common import schema
from components.common.config import load as load_model

Dim = Annotated[int, Field(ge=4, le=1024)] | Literal["auto"]
Column = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
ColumnType = Literal["string", "int64", "float"]
CarriedType = Literal["string", "int64", "float", "list<string>"]
AUTO_DIMS = ((50, 8), (500, 16), (5_000, 32), (50_000, 64), (500_000, 128))
Period = Literal["hour", "weekday", "day_of_month", "month"]
PERIODS: tuple[Period, ...] = get_args(Period)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def key(self) -> str:
        """The name of the encoded feature, unique within a tower."""
        raise NotImplementedError

    @property
    def columns(self) -> dict[str, ColumnType]:
        """The raw columns that this entry reads, with their types."""
        raise NotImplementedError


class _Single(_Entry):
    name: Column

    @property
    def key(self) -> str:
        return self.name


class IdFeature(_Single):
    """A customer or product: one embedding a token, index 0 for tokens that training did not see."""

    kind: Literal["id"]
    dim: Dim = "auto"

    @property
    def columns(self) -> dict[str, ColumnType]:
        return {self.name: "int64" if schema.EXAMPLE.get(self.name) == "int64" else "string"}


class TextFeature(_Single):
    """A category, city or name: one embedding a token, index 0 for tokens that training did not see."""

    kind: Literal["text"]
    dim: Dim = "auto"

    @property
    def columns(self) -> dict[str, ColumnType]:
        return {self.name: "string"}


class NumericFeature(_Single):
    """A number: `normalize` to mean 0 and variance 1, or `bucketize` at quantiles into an embedding."""

    kind: Literal["numeric"]
    transform: Literal["normalize", "bucketize"] = "normalize"
    buckets: Annotated[int, Field(ge=2, le=100)] = 10
    dim: Dim = "auto"

    @property
    def key(self) -> str:
        return self.name if self.transform == "normalize" else f"{self.name}_bucket"

    @property
    def columns(self) -> dict[str, ColumnType]:
        return {self.name: "float"}


class TemporalFeature(_Single):
    """A time in Unix seconds (UTC): the sine and cosine of its place in each period."""

    kind: Literal["temporal"]
    transform: Literal["cyclical"] = "cyclical"
    periods: Annotated[tuple[Period, ...], Field(min_length=1)] = PERIODS

    @property
    def columns(self) -> dict[str, ColumnType]:
        return {self.name: "int64"}


class CrossFeature(_Entry):
    """Two or more text columns together, hashed into buckets, each with an embedding."""

    kind: Literal["cross"]
    names: Annotated[tuple[Column, ...], Field(min_length=2)]
    buckets: Annotated[int, Field(ge=2, le=10_000_000)] = 1000
    dim: Dim = "auto"

    @property
    def key(self) -> str:
        return "_x_".join(self.names)

    @property
    def columns(self) -> dict[str, ColumnType]:
        return dict.fromkeys(self.names, "string")


Feature = Annotated[
    IdFeature | TextFeature | NumericFeature | TemporalFeature | CrossFeature, Field(discriminator="kind")
]


class Tower(BaseModel):
    """The features that one tower concatenates and the widths of its Dense layers; the last is the embedding's.

    `carried` names further columns of the tower's table, with their types: they travel into the Examples without
    being features yet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    layers: Annotated[tuple[Annotated[int, Field(ge=1, le=8192)], ...], Field(min_length=1)] = (128, 64, 32)
    carried: dict[Column, CarriedType] = Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _unique(self) -> "Tower":
        keys = [feature.key for feature in self.features]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is listed twice: remove one of the entries")
        return self

    @property
    def columns(self) -> dict[str, ColumnType]:
        """Every raw column that the tower reads, with its type, in the order of the config."""
        return {name: kind for feature in self.features for name, kind in feature.columns.items()}


class FeatureConfig(BaseModel):
    """Query tower (the customer's side) and candidate tower (the product's side)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: Tower
    candidate: Tower

    @pydantic.model_validator(mode="after")
    def _agree(self) -> "FeatureConfig":
        widths = self.query.layers[-1], self.candidate.layers[-1]
        if widths[0] != widths[1]:
            raise ValueError(f"query.layers ends in {widths[0]} and candidate.layers in {widths[1]}: make them equal")
        for name in (schema.PRODUCT, *schema.PRODUCT_COLUMNS):
            if name in {**self.query.columns, **self.query.carried}:
                raise ValueError(f"query uses {name}, which belongs to the product: move it to candidate")
        for name in (schema.CUSTOMER, "revenue", "city", schema.TIMESTAMP):
            if name in {**self.candidate.columns, **self.candidate.carried}:
                raise ValueError(f"candidate uses {name}, which belongs to the customer: move it to query")
        return self

    @property
    def columns(self) -> dict[str, ColumnType]:
        return {**self.query.columns, **self.candidate.columns}

    def entries(self) -> Iterator[Feature]:
        yield from self.query.features
        yield from self.candidate.features


def resolve_dim(dim: int | str, vocabulary_size: int) -> int:
    """The embedding width: as given, or by vocabulary size for "auto" (shared table in README, "Features")."""
    if isinstance(dim, int):
        return dim
    return next((width for below, width in AUTO_DIMS if vocabulary_size < below), 256)


def load(config: str) -> FeatureConfig:
    """Reads a feature config.

    Args:
        config: The YAML or JSON text itself (as the pipeline passes it), or a path to it, local or gs://.

    Raises:
        InputError: naming the file and the entry.
    """
    remedy = "Correct this entry; `python -m components.common.feature_config --schema` prints what is allowed."
    return load_model(FeatureConfig, config, "feature config", remedy)


def main() -> None:
    if sys.argv[1:] != ["--schema"]:
        sys.exit("usage: python -m components.common.feature_config --schema")
    print(json.dumps(FeatureConfig.model_json_schema(), indent=2))


if __name__ == "__main__":
    main()

"""The feature config: which columns each tower sees, and how. One YAML or JSON text, checked before anything is spent.

`python -m components.common.feature_config --schema` prints the JSON schema, for a UI to render. It accepts what `load`
accepts, but for what JSON schema cannot say: that no feature is listed twice, that both towers end equally wide, that
no column is read as two types, and that no two columns of a tower differ in case alone.
"""

import json
import keyword
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.common import schema
from components.common.config import load as load_model
from components.common.feature_errors import in_words, refusal
from components.common.feature_kinds import (
    ColumnName,
    ColumnType,
    CrossFeature,
    HistoryFeature,
    IdFeature,
    NumericFeature,
    TemporalFeature,
    TextFeature,
    resolve_dim,
)

__all__ = [
    "CrossFeature",
    "FeatureConfig",
    "HistoryFeature",
    "IdFeature",
    "NumericFeature",
    "TemporalFeature",
    "TextFeature",
    "Tower",
    "load",
    "resolve_dim",
]

CarriedType = Literal["string", "int64", "float", "list<string>"]
Feature = Annotated[
    IdFeature | TextFeature | NumericFeature | TemporalFeature | CrossFeature | HistoryFeature,
    Field(discriminator="kind"),
]
Width = Annotated[int, Field(ge=1, le=8192, strict=True)]
OF_PRODUCT = (schema.PRODUCT, *schema.PRODUCT_COLUMNS)
# Inputs of the served model, that no column of the customer's is named as.
TAKEN = (*schema.REQUEST, *schema.HISTORY, schema.HISTORY_OPTION)
NO_INPUTS = (*keyword.kwlist, "self")  # what TensorFlow takes no input of a function by the name of
OF_CUSTOMER = (schema.CUSTOMER, "revenue", "city", schema.TIMESTAMP)


class Tower(BaseModel):
    """What one tower sees: its features side by side, then its Dense layers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: tuple[Feature, ...] = Field(
        min_length=1, title="Features", description="Each entry is one input of the tower."
    )
    layers: tuple[Width, ...] = Field(
        default=(128, 64, 32),
        min_length=1,
        title="Dense layers",
        description="Their widths. The last is that of the embedding, and the same in both towers.",
    )
    carried: dict[ColumnName, CarriedType] = Field(
        default={},
        title="Carried columns",
        description="Further columns of the tower's table, with their types: they travel into the Examples without "
        "being features yet.",
        json_schema_extra={
            "additionalProperties": False,
            "properties": {name: {"const": kind} for name, kind in schema.EXAMPLE.items()},
        },
    )

    @pydantic.model_validator(mode="after")
    def _unique(self) -> Self:
        first: dict[str, int] = {}
        for i, feature in enumerate(self.features):
            if first.setdefault(feature.key, i) != i:
                expected = f"another feature than features[{first[feature.key]}]: {feature.key} is listed twice"
                raise refusal(("features", i), feature.model_dump(), expected)
        return self

    @property
    def columns(self) -> dict[str, ColumnType]:
        """Every raw column that the tower reads, with its type, in the order of the config."""
        return {name: kind for feature in self.features for name, kind in feature.columns.items()}

    @property
    def readers(self) -> Iterator[tuple[str, str, str, str]]:
        """Who reads which column as what: place in the tower, kind of feature or carried, column, type."""
        for i, feature in enumerate(self.features):
            for name, kind in feature.columns.items():
                yield f"features[{i}]", feature.kind, name, kind
        for name, carried in self.carried.items():
            yield f"carried.{name}", "carried", name, carried

    @property
    def restricting(self) -> Iterator[tuple[int, IdFeature | TextFeature | NumericFeature | TemporalFeature]]:
        """The features, with their places, that searches can be restricted by."""
        for place, feature in enumerate(self.features):
            if not isinstance(feature, CrossFeature | HistoryFeature) and feature.restrict:
                yield place, feature


def _never(names: tuple[str, ...], features: dict[str, Any], also: tuple[str, ...] = ()) -> dict[str, Any]:
    """JSON schema of a tower that must not read some columns.

    Args:
        names: Columns that belong to the other side.
        features: What else holds for every feature.
        also: Columns that no feature may read, in whatever case.
    """
    other: dict[str, Any] = {"not": {"enum": list(names)}}
    in_any_case = ["".join(f"[{one}{one.upper()}]" if one.isalpha() else one for one in name) for name in also]
    feature = {"not": {"anyOf": [{"enum": [*names, *NO_INPUTS]}, {"pattern": f"^({'|'.join(in_any_case)})$"}]}}
    fields = {"name": feature, "names": {"items": feature}, **features.get("properties", {})}
    return {
        "properties": {"features": {"items": {**features, "properties": fields}}, "carried": {"propertyNames": other}}
    }


NO_RESTRICT = {"properties": {"restrict": {"const": False}}}
NO_HISTORY = {"properties": {"kind": {"not": {"const": "history"}}}}
NO_NAMESPACE_TWICE = {
    "not": {
        "properties": {"name": {"enum": list(schema.NAMESPACES)}, "restrict": {"const": True}},
        "required": ["name", "restrict"],
    }
}


class FeatureConfig(BaseModel):
    """Which columns the two towers see, and how."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        title="Feature config",
        json_schema_extra={"$schema": "https://json-schema.org/draft/2020-12/schema"},
    )

    query: Tower = Field(
        title="Query tower",
        description="The customer's side: columns of the purchases table.",
        json_schema_extra=_never(OF_PRODUCT, NO_RESTRICT, TAKEN),
    )
    candidate: Tower = Field(
        title="Candidate tower",
        description="The product's side: columns of the products table.",
        json_schema_extra=_never(OF_CUSTOMER, NO_NAMESPACE_TWICE | NO_HISTORY),
    )

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        ends = self.query.layers[-1], self.candidate.layers[-1]
        if ends[0] != ends[1]:
            expected = f"{ends[0]}, with which query.layers ends: make them equal"
            raise refusal(("candidate", "layers", len(self.candidate.layers) - 1), ends[1], expected)
        for side, tower, others, owner, home in (
            ("query", self.query, OF_PRODUCT, "product", "candidate"),
            ("candidate", self.candidate, OF_CUSTOMER, "customer", "query"),
        ):
            for place, _, name, _ in tower.readers:
                if name in others:
                    expected = f"no column of the {owner}: {name}, which belongs to the {owner}, goes to {home}"
                    raise refusal((side, place), name, expected)
        return self

    @pydantic.model_validator(mode="after")
    def _servable(self) -> Self:
        """The served model and Vector Search can name everything."""
        for side, tower in (("query", self.query), ("candidate", self.candidate)):
            first: dict[str, str] = {}
            for i, name in ((i, name) for i, entry in enumerate(tower.features) for name in entry.columns):
                alike = first.setdefault(name.lower(), name)
                expected = ""
                if name.lower() in TAKEN and side == "query":
                    expected = f"another name than {name}, which is an input of the served model: rename the column"
                elif name in NO_INPUTS:
                    expected = f"another name than {name}, which no input of a model can have: rename the column"
                elif alike != name:
                    expected = f"another name than {name}, which differs in case alone from {alike}: rename the column"
                if expected:
                    raise refusal((side, "features", i), name, expected)
        for i, marked in self.query.restricting:
            expected = "false: it is products that are searched for"
            raise refusal(("query", "features", i, marked.kind, "restrict"), True, expected)
        for i, marked in self.candidate.restricting:
            if marked.name in schema.NAMESPACES:
                expected = f"false: {schema.NAMESPACES[marked.name]} goes by the name {marked.name}: rename the column"
                raise refusal(("candidate", "features", i, marked.kind, "restrict"), True, expected)
        return self

    @pydantic.model_validator(mode="after")
    def _of_one_type(self) -> Self:
        """An Example holds a column once, as one type."""
        known: dict[str, tuple[str, str]] = {name: (kind, "in every Example") for name, kind in schema.EXAMPLE.items()}
        for side, tower in (("query", self.query), ("candidate", self.candidate)):
            for place, reader, name, kind in tower.readers:
                fixed, where = known.setdefault(name, (kind, f"by {side}.{place}"))
                if fixed != kind:
                    expected = f"{name} as {fixed}, as it is {where}: choose another kind, or another column"
                    raise refusal((side, place), f"{reader}, which reads {name} as {kind}", expected)
                if reader == "temporal" and name in schema.EXAMPLE and name != schema.TIMESTAMP:
                    raise refusal((side, place), name, f"a column of times, such as {schema.TIMESTAMP}")
        return self

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def _explained(cls, document: Any, validated: pydantic.ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validated(document)
        except ValidationError as error:
            place, found, expected = in_words(error.errors(include_url=False)[0])
            raise refusal((place,) if place else (), found, expected) from None

    @property
    def columns(self) -> dict[str, ColumnType]:
        return {**self.query.columns, **self.candidate.columns}

    def entries(self) -> Iterator[Feature]:
        yield from self.query.features
        yield from self.candidate.features


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

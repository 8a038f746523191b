"""The kinds of entries that a feature config may list; titles and descriptions are what a UI shows.

trainer_image/features.py holds what each kind becomes.
"""

from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler
from pydantic import WrapValidator as Wrap
from pydantic_core import PydanticCustomError

from components.common import schema

ColumnType = Literal["string", "int64", "float"]
Period = Literal["hour", "weekday", "day_of_month", "month"]
PERIODS: tuple[Period, ...] = get_args(Period)
SMALLEST_DIM, LARGEST_DIM = 4, 1024
AUTO_DIMS = ((50, 8), (500, 16), (5_000, 32), (50_000, 64), (500_000, 128))

Item = TypeVar("Item")


def _read_as(*types: str) -> dict[str, Any]:
    """JSON schema of the name of a column that is read as one of these types, which fixed columns have or have not."""
    return {"not": {"enum": [name for name, kind in schema.EXAMPLE.items() if kind not in types]}}


def _column(schema_extra: dict[str, Any]) -> Any:
    return Field(title="Column", description="A column of the tower's table.", json_schema_extra=schema_extra)


def _dim(value: Any, validated: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validated(value)
    except ValidationError:
        expected = f"a whole number from {SMALLEST_DIM} to {LARGEST_DIM}, or auto"
        raise PydanticCustomError("dim", "{expected}", {"expected": expected}) from None


def _unique(items: tuple[Item, ...]) -> tuple[Item, ...]:
    twice = sorted({str(item) for item in items if items.count(item) > 1})
    if twice:
        raise PydanticCustomError("unique", "each at most once, not {twice} twice", {"twice": ", ".join(twice)})
    return items


ONCE: dict[str, Any] = {"uniqueItems": True}  # what AfterValidator(_unique) checks, in words of JSON schema
ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
InputName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,127}$")]  # TensorFlow's inputs begin with a letter
TextColumn = Annotated[InputName, Field(json_schema_extra=_read_as("string"))]
Dim = Annotated[
    Annotated[int, Field(ge=SMALLEST_DIM, le=LARGEST_DIM, strict=True)] | Literal["auto"],
    Wrap(_dim),
    Field(
        title="Embedding width",
        description="A whole number, or auto: by vocabulary size, below 50 → 8, 500 → 16, 5,000 → 32, 50,000 → 64, "
        "500,000 → 128, more → 256.",
        examples=[8, 16, 32, 64, 128, 256, "auto"],
    ),
]


class Entry(BaseModel):
    """What all kinds share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str

    @property
    def key(self) -> str:
        """The name of the encoded feature, unique within a tower."""
        raise NotImplementedError

    @property
    def columns(self) -> dict[str, ColumnType]:
        """The raw columns that this entry reads, with their types."""
        raise NotImplementedError


class _Single(Entry):
    name: InputName
    restrict: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        title="Restricts searches",
        description="Only the candidate tower: searches in Vector Search can be restricted by it, under the column's "
        "name, to some of its texts or a range of its numbers.",
    )

    @property
    def key(self) -> str:
        return self.name


class IdFeature(_Single):
    """A customer or product: one embedding a token, row 0 for tokens that training did not see."""

    model_config = ConfigDict(title="ID")

    kind: Literal["id"] = Field(title="Kind", description="A customer, product or other identifier.")
    name: InputName = _column(_read_as("string", "int64"))
    dim: Dim = "auto"

    @property
    def columns(self) -> dict[str, ColumnType]:
        return {self.name: "int64" if schema.EXAMPLE.get(self.name) == "int64" else "string"}


class TextFeature(_Single):
    """A category, city or name: one embedding a token, row 0 for tokens that training did not see."""

    model_config = ConfigDict(title="Text")

    kind: Literal["text"] = Field(title="Kind", description="A category, city or name, taken as a whole.")
    name: InputName = _column(_read_as("string"))
    dim: Dim = "auto"

    @property
    def columns(self) -> dict[str, ColumnType]:
        return {self.name: "string"}


class NumericFeature(_Single):
    """A number: `normalize` to mean 0 and variance 1, or `bucketize` at quantiles into an embedding."""

    model_config = ConfigDict(title="Number")

    kind: Literal["numeric"] = Field(title="Kind", description="A number.")
    name: InputName = _column(_read_as("float"))
    transform: Literal["normalize", "bucketize"] = Field(
        default="normalize",
        title="Transform",
        description="normalize: the number itself, with the training split's mean 0 and variance 1. "
        "bucketize: an embedding of the quantile bucket that it falls into.",
    )
    buckets: Annotated[int, Field(ge=2, le=100, strict=True)] = Field(
        default=10, title="Buckets", description="Only bucketize: how many buckets of about equally many rows."
    )
    dim: Dim = Field(default="auto", description="Only bucketize: a whole number, or auto: by the number of buckets.")

    @property
    def key(self) -> str:
        return self.name if self.transform == "normalize" else f"{self.name}_bucket"

    @property
    def columns(self) -> dict[str, ColumnType]:
        return {self.name: "float"}


class TemporalFeature(_Single):
    """A time in Unix seconds (UTC): the sine and cosine of its place in each period."""

    model_config = ConfigDict(title="Time")

    kind: Literal["temporal"] = Field(title="Kind", description="A time in Unix seconds; the calendar is UTC.")
    name: InputName = _column({"not": {"enum": [name for name in schema.EXAMPLE if name != schema.TIMESTAMP]}})
    transform: Literal["cyclical"] = Field(
        default="cyclical", title="Transform", description="Sine and cosine of the place in each period."
    )
    periods: Annotated[tuple[Period, ...], AfterValidator(_unique)] = Field(
        default=PERIODS,
        min_length=1,
        title="Periods",
        description="In which periods the time has a place: two numbers each.",
        json_schema_extra=ONCE,
    )

    @property
    def columns(self) -> dict[str, ColumnType]:
        return {self.name: "int64"}


class CrossFeature(Entry):
    """Two or more text columns together, hashed into buckets, each with an embedding."""

    model_config = ConfigDict(title="Cross")

    kind: Literal["cross"] = Field(title="Kind", description="Several text columns together.")
    names: Annotated[tuple[TextColumn, ...], AfterValidator(_unique)] = Field(
        min_length=2, title="Columns", description="Text columns of the tower's table.", json_schema_extra=ONCE
    )
    buckets: Annotated[int, Field(ge=2, le=10_000_000, strict=True)] = Field(
        default=1000, title="Buckets", description="Rows of the table; values that share a bucket share an embedding."
    )
    dim: Dim = Field(default="auto", description="A whole number, or auto: by the number of buckets.")

    @property
    def key(self) -> str:
        return "_x_".join(self.names)

    @property
    def columns(self) -> dict[str, ColumnType]:
        return dict.fromkeys(self.names, "string")


class HistoryFeature(Entry):
    """What the customer bought before: the embeddings of these products, pooled, and a score of its own for each."""

    model_config = ConfigDict(title="History")

    kind: Literal["history"] = Field(
        title="Kind",
        description="What the customer bought before, pooled from the embeddings of these products. Only the query "
        "tower.",
    )

    @property
    def key(self) -> str:
        return "history"

    @property
    def columns(self) -> dict[str, ColumnType]:
        return {schema.CUSTOMER: "string"}


def resolve_dim(dim: int | str, vocabulary_size: int) -> int:
    """The embedding width: as given, or by vocabulary size for "auto" (shared table in README, "Features")."""
    if isinstance(dim, int):
        return dim
    return next((width for below, width in AUTO_DIMS if vocabulary_size < below), 256)

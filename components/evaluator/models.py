"""Models as scorers: each is asked through its own SavedModels, whatever its features and its catalogue."""

from typing import Any, NamedTuple

import numpy as np

from components.common import queries as query_models
from components.common import saved_models, schema
from components.common.model_metadata import expect_files
from components.common.own_terms import OwnTerms
from components.common.ranking import embedding_scores
from components.evaluator import data
from components.evaluator.data import Split
from components.evaluator.scoring import Scorer


class Model(NamedTuple):
    """What the Trainer wrote."""

    metadata: dict[str, Any]  # model_metadata.json
    query: saved_models.SavedModel
    candidate: saved_models.SavedModel

    @property
    def version(self) -> str:
        return str(self.metadata["model_version"])

    @property
    def catalogue(self) -> list[str]:
        return list(self.metadata["catalogue"])

    @property
    def learned_splits(self) -> tuple[str, ...]:
        """Those that it was trained on."""
        return schema.splits_through(self.metadata.get("refit", {}).get("through", schema.SPLITS[0]))

    @property
    def known_splits(self) -> tuple[str, ...]:
        """Those whose purchases it knows when it is asked: with a history, they may be more than it was trained on."""
        in_history = schema.splits_through(self.metadata.get("history", {}).get("through", schema.SPLITS[0]))
        return max(self.learned_splits, in_history, key=len)


class Embedded(NamedTuple):
    """A model's vectors of the split's queries and of its catalogue."""

    query: np.ndarray  # int64 [R], the query of each row
    queries: np.ndarray  # float32 [U, D]
    candidates: np.ndarray  # float32 [N, D]
    catalogue: np.ndarray  # int64 [N], product ids
    own: OwnTerms | None = None  # of the queries' own products, where the model has a history

    def scorer(self, split: Split, sold: np.ndarray) -> Scorer:
        """The model as a scorer; `sold` are the known purchases of its catalogue, float64 [N]."""
        scores = embedding_scores(self.queries, self.candidates, self.own)
        return Scorer(scores, self.query, data.places(split.product, self.catalogue), sold)


def load(folder: str) -> Model:
    """Reads a local model folder.

    Raises:
        InputError: it is not there, cannot be read, or holds files of another model.
    """
    metadata = saved_models.read_metadata(folder)
    expect_files(folder, metadata)
    return Model(
        metadata,
        saved_models.SavedModel(folder, saved_models.QUERY_MODEL),
        saved_models.SavedModel(folder, saved_models.CANDIDATE_MODEL),
    )


def embed(
    model: Model, catalogue: list[str], split: Split, products: dict[str, dict[str, Any]], where: str
) -> Embedded:
    """Asks a model for its vectors and own terms; rows with equal query columns are one query.

    Args:
        model: From `load`.
        catalogue: Product ids [N], all of its catalogue or some.
        split: The rows, with the columns that its query model reads.
        products: The product lookup of metadata.json.
        where: metadata.json, for errors.

    Raises:
        InputError: a product lacks what the candidate model reads, or what a model says is not finite.
    """
    raw = {column: split.raw[column] for column in model.query.columns}
    first, query = saved_models.distinct(raw)
    columns = saved_models.product_columns(catalogue, products, model.candidate.columns, where)
    whole = np.array([int(product) for product in model.catalogue], np.int64)
    asked = query_models.ask(
        model.query, {column: values[first] for column, values in raw.items()}, schema.CUSTOMER, whole
    )
    ids = columns[schema.PRODUCT]
    return Embedded(
        query=query,
        queries=asked.embeddings,
        candidates=model.candidate.embed(columns, schema.PRODUCT),
        catalogue=ids,
        own=None if asked.own is None else asked.own.moved(data.places(whole, ids)),
    )

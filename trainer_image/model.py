"""The two-tower model: encoders, towers and the encoded catalogue."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from components.common import feature_config as fc
from components.common import schema
from components.common.errors import InputError
from components.common.saved_models import product_columns
from trainer_image import history
from trainer_image import repeats as repetition
from trainer_image.features import Encoder
from trainer_image.history import Events, History
from trainer_image.repeats import Repeats
from trainer_image.towers import Tower

SMALLEST_CATALOGUE = 6  # Recall@5, which training watches, says something from here on
DTYPES = {"string": tf.string, "int64": tf.int64, "float": tf.float32}


class Encoders:
    """What encodes the features of both sides, and the encoded catalogue: everything but weights.

    Attributes:
        catalogue: Product ids, as text, in index order.
        query, candidate: From raw columns to encoded features.
        encoded_catalogue: {feature key: [N, ...]}, what the candidate tower reads.
    """

    def __init__(
        self,
        config: fc.FeatureConfig,
        vocabularies: dict[str, dict[str, Any]],
        products: dict[str, dict[str, Any]],
        paths: dict[str, str],
    ):
        """Builds the lookups.

        Args:
            config: The feature config.
            vocabularies: The features of vocabularies.json.
            products: The product lookup of metadata.json.
            paths: {"vocabularies", "metadata"}: where these came from, for errors.

        Raises:
            InputError: vocabularies or products lack something that the config uses.
        """
        self.catalogue = catalogue_of(vocabularies, products, paths)
        self.query = Encoder(config.query, vocabularies, paths["vocabularies"])
        self.candidate = Encoder(config.candidate, vocabularies, paths["vocabularies"])
        raw = product_columns(self.catalogue, products, self.candidate.columns, paths["metadata"])
        self.encoded_catalogue = self.candidate({name: tf.constant(column) for name, column in raw.items()})


class Answer(NamedTuple):
    """What B queries are: their embeddings, and the terms that are added to the scores of P pairs.

    Attributes:
        queries: float32 [B, D].
        row, place: int32 [P], query and product of each pair, in the order of their first purchase.
        score: float32 [P].
    """

    queries: tf.Tensor
    row: tf.Tensor
    place: tf.Tensor
    score: tf.Tensor


class TwoTower(tf.Module):
    """Encoders and towers of both sides, and the catalogue that the candidate tower embeds.

    Attributes:
        catalogue, encoded_catalogue: See Encoders.
        history: What the customers bought; None without a feature of that kind.
        repeats: The term of the customer's own products; None without history, and until it is trained.
    """

    history: History | None = None
    repeats: Repeats | None = None

    def __init__(self, config: fc.FeatureConfig, encoders: Encoders, l1: float):
        """Creates the weights, whose values come from Keras's global seed.

        Args:
            config: The feature config.
            encoders: Built from the same config.
            l1: L1 penalty on the Dense kernels.
        """
        super().__init__()
        self.catalogue, self.encoded_catalogue = encoders.catalogue, encoders.encoded_catalogue
        self.query_encoder, self.candidate_encoder = encoders.query, encoders.candidate
        self.query_tower = Tower(self.query_encoder.tables, config.query.layers, l1, "query")
        self.candidate_tower = Tower(self.candidate_encoder.tables, config.candidate.layers, l1, "candidate")
        self.candidates()  # creates the variables
        self.query_tower(self._any_query())

    def _any_query(self) -> dict[str, tf.Tensor]:
        empty = {
            name: tf.zeros([1], DTYPES[kind]) if kind != "string" else tf.constant([""])
            for name, kind in self.query_encoder.columns.items()
        }
        encoded = self.query_encoder(empty)
        if self.has_history:
            encoded[history.KEY] = tf.zeros([1, self.query_encoder.widths[history.KEY]])
        return encoded

    @property
    def has_history(self) -> bool:
        return history.KEY in self.query_encoder.widths

    def candidates(self) -> tf.Tensor:
        """Embeddings of the catalogue by the tower alone, [N, D]."""
        return self.candidate_tower(self.encoded_catalogue)

    def scored(self, candidates: tf.Tensor) -> tf.Tensor:
        """The same as queries are scored with: with a history, one dimension more, the product's trend."""
        if self.repeats is None:
            return candidates
        return tf.concat([candidates, self.repeats.bias(self.repeats.statistics)[:, None]], axis=1)

    def answer(self, encoded: dict[str, tf.Tensor], events: Events, rows: Any, candidates: tf.Tensor) -> Answer:
        """Queries with a history.

        Args:
            encoded: What the encoder gives.
            events: What was bought before.
            rows: B.
            candidates: From `candidates`.
        """
        products, candidates = len(self.catalogue), tf.cast(candidates, tf.float32)
        pairs = repetition.pairs_of(events, products)
        pooled = history.pooled(candidates, pairs.row, pairs.place, pairs.count, rows)
        queries = tf.cast(self.query_tower({**encoded, history.KEY: pooled}), tf.float32)
        if self.repeats is None:
            return Answer(queries, pairs.row, pairs.place, tf.zeros_like(pairs.count))
        fit = tf.reduce_sum(tf.gather(queries, pairs.row) * tf.gather(candidates, pairs.place), axis=1)
        score = self.repeats(repetition.inputs(pairs, self.repeats.statistics, fit, rows))
        queries = tf.concat([queries * self.repeats.scale, tf.ones([rows, 1])], axis=1)
        return Answer(queries, pairs.row, pairs.place, score)

    def know(self, past: History) -> None:
        """Answers by another history from here on, and by what sold in it; the weights stay what they learned."""
        self.history = past
        if self.repeats is not None:
            pairs = repetition.pairs_of(past.everything(), len(self.catalogue))
            self.repeats.statistics = repetition.statistics(pairs, len(self.catalogue))

    @property
    def weights(self) -> list[keras.Variable]:
        return [*self.query_tower.trainable_variables, *self.candidate_tower.trainable_variables]

    def get_values(self) -> list[Any]:
        return [variable.numpy() for variable in self.weights]

    def set_values(self, values: list[Any]) -> None:
        for variable, value in zip(self.weights, values, strict=True):
            variable.assign(value)


def catalogue_of(
    vocabularies: dict[str, dict[str, Any]], products: dict[str, dict[str, Any]], paths: dict[str, str]
) -> list[str]:
    """The products that training has seen, sorted by id: what the index will hold."""
    seen = vocabularies.get(schema.PRODUCT, {}).get("tokens", [])
    catalogue = sorted((product for product in seen if product in products), key=int)
    if len(catalogue) < SMALLEST_CATALOGUE:
        found = f"{len(catalogue)} products that {paths['vocabularies']} knows too"
        raise InputError(
            f"{paths['metadata']}, products", found, f"at least {SMALLEST_CATALOGUE}", "Use files that belong together."
        )
    return catalogue

"""The two-tower model: encoders, towers and the encoded catalogue."""

from typing import Any

import keras
import tensorflow as tf

from components.common import feature_config as fc
from components.common import schema
from components.common.errors import InputError
from components.common.saved_models import product_columns
from trainer_image.features import Encoder
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


class TwoTower(tf.Module):
    """Encoders and towers of both sides, and the catalogue that the candidate tower embeds.

    Attributes:
        catalogue, encoded_catalogue: See Encoders.
    """

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
        self.candidate_tower(self.encoded_catalogue)  # creates the variables
        self.query_tower({key: value[:1] for key, value in self._any_query().items()})

    def _any_query(self) -> dict[str, tf.Tensor]:
        empty = {
            name: tf.zeros([1], DTYPES[kind]) if kind != "string" else tf.constant([""])
            for name, kind in self.query_encoder.columns.items()
        }
        return self.query_encoder(empty)

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
            f"{paths['metadata']}, products", found, f"at least {SMALLEST_CATALOGUE}", "Use files of one extraction."
        )
    return catalogue

"""What is read of a query model with a history, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common import queries
from components.common.errors import InputError
from components.common.saved_models import SavedModel
from tests.components import fake_history, fake_model
from tests.components.fake_history import Tensors

CATALOGUE = np.array(fake_model.CATALOGUE)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    return SavedModel(fake_history.write_model(tmp_path_factory.mktemp("model")), "query_model")


def raw(*customers: str) -> dict[str, np.ndarray]:
    names = np.array([customer.encode() for customer in customers], object)
    return {"cust_person_id": names, "revenue": np.ones(len(names), np.float32)}


def test_a_history_is_no_column(model: SavedModel) -> None:
    assert model.columns == {"cust_person_id": "string", "revenue": "float"}
    assert queries.has_history(model)
    assert {name: value.shape for name, value in model.defaults.items()} == {
        "history_products": (1, 0),
        "history_ages": (1, 0),
    }


@pytest.mark.parametrize("customer", ["ann", "bob", "cyd", "dan"])
def test_one_row_without_a_history_is_answered_from_the_table(model: SavedModel, customer: str) -> None:
    asked = queries.ask(model, raw(customer), "cust_person_id", CATALOGUE)
    assert asked.own is not None
    terms = np.zeros((1, 4))
    asked.own.add(terms, slice(0, 1))
    expected = fake_history.own(fake_history.HISTORIES.get(customer, []), fake_model.CATALOGUE)
    assert terms[0].tolist() == expected.tolist()
    assert asked.embeddings.tolist() == [fake_model.SCORES[customer]]


def test_rows_of_batches_are_filled_up_to_the_longest(model: SavedModel) -> None:
    """With batches of one row: dan has no own product, the others have one, and whoever gives three has three."""
    outputs = model(raw("dan", "ann"), batch=1)
    assert outputs["own_products"].tolist() == [[-1], [14]]
    assert outputs["own_scores"].tolist() == [[0], [4]]
    history = {
        "history_products": np.array([[-1, -1, -1], [12, 14, 11]]),
        "history_ages": np.array([[0, 0, 0], [0, 1, 3]], np.float32),
    }
    outputs = model({**raw("bob", "dan"), **history}, batch=1)
    assert sorted(zip(*outputs["own_products"], strict=True)) == [(-1, 12), (-1, 14), (13, 11)]
    asked = queries.ask(model, {**raw("bob", "dan"), **history}, "cust_person_id", CATALOGUE[::-1])
    assert asked.own is not None
    assert [part.tolist() for part in asked.own] == [[0, 1, 4], [1, 0, 2, 3], [3, 2, 4, 1]]


def test_one_history_counts_for_all_rows(model: SavedModel) -> None:
    history = {"history_products": np.array([[12]]), "history_ages": np.array([[1]], np.float32)}
    outputs = model({**raw("ann", "bob", "dan"), **history}, batch=2)
    assert outputs["own_products"].tolist() == [[12]] * 3
    assert outputs["own_scores"].tolist() == [[2]] * 3


def test_a_model_without_a_history(world: dict[str, str]) -> None:
    plain = SavedModel(world["model"], "query_model")
    asked = queries.ask(plain, raw("ann"), "cust_person_id", CATALOGUE)
    assert asked.own is None
    assert asked.embeddings.tolist() == [fake_model.SCORES["ann"]]
    assert not queries.has_history(plain)


def changed(**changes: Callable[[tf.Tensor], Any]) -> Callable[[Tensors], Tensors]:
    return lambda outputs: {**outputs, **{name: change(outputs[name]) for name, change in changes.items()}}


OTHER_ID = changed(own_products=lambda ids: tf.where(ids == 13, tf.constant(15, tf.int64), ids))
NAN = changed(own_scores=lambda terms: tf.where(terms == 3, np.nan, terms))
INFINITE = changed(own_scores=lambda terms: tf.where(terms == 3, -np.inf, terms))
WIDER = changed(own_scores=lambda terms: tf.tile(terms, [1, 2]))
TWICE = changed(own_products=lambda ids: tf.tile(ids, [1, 2]), own_scores=lambda terms: tf.tile(terms, [1, 2]))


def only(*names: str) -> Callable[[Tensors], Tensors]:
    return lambda outputs: {name: outputs[name] for name in names}


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (OTHER_ID, "bob, own terms: found product 15, expected a product of the model's catalogue"),
        (NAN, "bob, own terms: found nan for product 13, expected a finite"),
        (INFINITE, "bob, own terms: found -inf for product 13, expected a finite"),
        (TWICE, "ann, own terms: found product 14 twice, expected every product once"),
        (WIDER, r"found own_products \[2, 1\], own_scores \[2, 2\], expected one shape"),
        (only("embedding", "own_products"), "found no output own_scores, expected own_products and own_scores"),
        (only("embedding"), "found no output own_products, expected own_products and own_scores"),
        (changed(embedding=lambda values: values * np.nan), "cust_person_id ann: found an embedding with NaN"),
    ],
)
def test_what_is_malformed_is_named(alter: Callable[[Tensors], Tensors], message: str, tmp_path: Path) -> None:
    model = SavedModel(fake_history.write_model(tmp_path, alter=alter), "query_model")
    with pytest.raises(InputError, match=message) as error:
        queries.ask(model, raw("ann", "bob"), "cust_person_id", CATALOGUE)
    assert error.value.where.startswith(f"{tmp_path}/query_model")

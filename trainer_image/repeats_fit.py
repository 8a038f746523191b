"""Trains the term of the customer's own products, when the towers are done.

It learns from moments of the past: what was known then, and what was bought next. Where the splits follow each other in
time, the moments are spread over the later part of the training period, and what was bought next is that of a tenth of
it. Where the splits are random, a moment hides a fifth of the purchases. It learns from the training split alone, the
validation split says when to stop; a refit learns from both, for as many epochs.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.common.errors import InputError
from trainer_image import history, losses, repeats, validation
from trainer_image.history import Events, History, Pairs
from trainer_image.inputs import Purchases, ranges
from trainer_image.model import TwoTower
from trainer_image.optimizer import Adam
from trainer_image.repeats import Repeats, Statistics
from trainer_image.steps import traced_once

MOMENTS, EARLIEST, AHEAD = 12, 0.4, 0.1  # of the training period
HIDDEN_MOMENTS, HIDDEN_SHARE = 8, 0.2
CUSTOMERS = 10_000  # that it learns from; of more, a sample
QUERIES = 256  # a step
RATE = 0.003
AVERAGED = 0.995  # the share that the running mean of the weights keeps in a step
EPOCHS, PATIENCE = 20, 2


class Moment(NamedTuple):
    """C customers at one moment.

    Attributes:
        starts: int64 [C + 1], of their pairs.
        place: int32 [P], the products that they had bought.
        found: float32 [P, F], what the network reads of each.
        queries: float32 [C, D], their embeddings.
        statistics: Of all customers.
        next_starts: int64 [C + 1], of what they bought next.
        next_place: int32 [T].
    """

    starts: np.ndarray
    place: np.ndarray
    found: np.ndarray
    queries: np.ndarray
    statistics: Statistics
    next_starts: np.ndarray
    next_place: np.ndarray


def fit(
    model: TwoTower,
    past: History,
    bought: Purchases,
    held_out: Purchases | None,
    seed: int,
    epochs: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Gives the model its `repeats`, with the weights of the best epoch.

    Args:
        model: With trained towers and a history.
        past: That history.
        bought: Of the training split.
        held_out: What is validated after every epoch; where there is nothing, the last epoch is the best.
        seed: Of the weights and the order.
        epochs: At most.
        say: Takes a line for each epoch.

    Returns:
        {"moments", "best_epoch", "seconds", "curve": as that of the towers}, for model_metadata.json.
    """
    started = time.monotonic()
    rng = np.random.default_rng([seed, 1])
    keras.utils.set_random_seed(seed)
    encoded = bought.queries
    known = np.flatnonzero(encoded[history.KEY] > 0)
    if len(known) > CUSTOMERS:
        known = np.sort(rng.choice(known, CUSTOMERS, replace=False))
    encoded = {key: column[known] for key, column in encoded.items()}
    candidates = model.candidates()
    moments = _moments(model, past, encoded, candidates, rng)
    products = len(model.catalogue)
    at_the_end = repeats.statistics(repeats.pairs_of(past.everything(), products), products)
    found = np.concatenate([moment.found for moment in moments])
    if not len(found):  # nobody has bought twice: nothing to learn, but the trends
        found = np.zeros((1, found.shape[1]), np.float32)
    mean, deviation = found.mean(axis=0, dtype=np.float64), found.std(axis=0, dtype=np.float64)
    network = Repeats(tf.constant(mean, tf.float32), tf.constant(deviation + 1e-3, tf.float32), at_the_end)
    step, averages = _step(network, candidates)
    best, best_recall, best_epoch, curve = [], -1.0, 0, []
    for epoch in range(1, epochs + 1):
        loss = np.mean([step(*batch) for batch in _batches(moments, rng)])
        current = [weight.numpy() for weight in network.weights]
        _assign(network, [average.numpy() for average in averages])
        model.repeats = network
        recalls = validation.validate(model, held_out).recalls if held_out else {}
        seconds = time.monotonic() - started
        found_in_words = " ".join(f"@{k} {value:.3f}" for k, value in recalls.items())
        validated = f"validation recall {found_in_words}  " if recalls else ""
        say(f"repeats {epoch:>3}/{epochs}  loss {loss:.4f}  {validated}{seconds:.0f} s")
        figures = {f"validation_recall_{k}": value for k, value in recalls.items()}
        curve.append({"epoch": epoch, "loss": float(loss), **figures, "seconds": seconds})
        reached = float(np.mean(list(recalls.values()))) if recalls else float(epoch)
        if reached > best_recall:
            best, best_recall, best_epoch = [weight.numpy() for weight in network.weights], reached, epoch
        elif epoch - best_epoch >= PATIENCE:
            break
        _assign(network, current)
    _assign(network, best)
    return {"moments": len(moments), "best_epoch": best_epoch, "seconds": time.monotonic() - started, "curve": curve}


def _moments(
    model: TwoTower, past: History, encoded: dict[str, np.ndarray], candidates: tf.Tensor, rng: np.random.Generator
) -> list[Moment]:
    """Those at which something came next; of a shop that sold nothing in the later part, hidden purchases."""
    for splits in (_splits(past, rng), _splits(past._replace(in_time=False), rng)):
        moments = [_moment(model, past, encoded, candidates, *split) for split in splits]
        moments = [moment for moment in moments if len(moment.next_place)]
        if moments:
            return moments
    found = f"{len(past.age):,} training purchases"
    remedy = "Extract more data, or take the feature of kind history out of the feature config."
    raise InputError("training split, with a feature of kind history", found, "some that can be hidden", remedy)


def _splits(past: History, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """For each moment: the purchases that were known, bool [R], those that came next, and days before the end."""
    if not past.in_time:
        for _ in range(HIDDEN_MOMENTS):
            hidden = rng.random(len(past.age)) < HIDDEN_SHARE
            yield ~hidden, hidden, 0.0
        return
    ahead = AHEAD * past.days
    for now in np.linspace((1 - EARLIEST) * past.days, ahead, MOMENTS):
        yield past.age > now, (past.age <= now) & (past.age > now - ahead), float(now)


def _moment(
    model: TwoTower,
    past: History,
    encoded: dict[str, np.ndarray],
    candidates: tf.Tensor,
    known: np.ndarray,
    following: np.ndarray,
    now: float,
) -> Moment:
    """What the customers of `encoded` looked like."""
    products = len(model.catalogue)
    rows = past.everything().row
    events = Events(rows[known], past.place[known], past.age[known] - np.float32(now))
    everybody = repeats.pairs_of(events, products)
    statistics = repeats.statistics(everybody, products)
    chosen = encoded[history.KEY].astype(np.int64)
    place_of = np.full(len(past.starts) - 1, -1)
    place_of[chosen] = np.arange(len(chosen))
    mine = np.flatnonzero(place_of[everybody.row.numpy()] >= 0)
    pairs = Pairs(*(tf.gather(values, mine) for values in everybody))
    pairs = pairs._replace(row=tf.constant(place_of[pairs.row.numpy()], tf.int32))
    pooled = history.pooled(candidates, pairs.row, pairs.place, pairs.count, len(chosen))
    queries = model.query_tower({**{key: tf.constant(values) for key, values in encoded.items()}, history.KEY: pooled})
    fit = tf.reduce_sum(tf.gather(queries, pairs.row) * tf.gather(candidates, pairs.place), axis=1)
    found = repeats.inputs(pairs, statistics, fit, len(chosen)).numpy()
    row = pairs.row.numpy()
    order = np.argsort(row, kind="stable")
    edges = np.arange(len(chosen) + 1)
    after = np.flatnonzero(following)
    after = after[place_of[rows[after]] >= 0]
    customer = place_of[rows[after]]
    later = np.argsort(customer, kind="stable")
    return Moment(
        starts=np.searchsorted(row[order], edges),
        place=pairs.place.numpy()[order],
        found=found[order],
        queries=queries.numpy(),
        statistics=statistics,
        next_starts=np.searchsorted(customer[later], edges),
        next_place=past.place[after[later]],
    )


def _batches(moments: list[Moment], rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """All customers at all moments once, in a random order; a step has customers of one moment."""
    customers = len(moments[0].queries)
    orders = [rng.permutation(customers) for _ in moments]
    parts = [(number, start) for number in range(len(moments)) for start in range(0, customers, QUERIES)]
    for chosen in rng.permutation(len(parts)):
        number, start = parts[chosen]
        moment, mine = moments[number], np.sort(orders[number][start : start + QUERIES])
        row, pair = _of(moment.starts, mine)
        target, after = _of(moment.next_starts, mine)
        if len(after):
            yield (
                moment.queries[mine],
                row,
                moment.place[pair],
                moment.found[pair],
                moment.statistics,
                target,
                moment.next_place[after],
            )


def _of(starts: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The items of some rows: each one's place in `rows`, int32, and number."""
    lengths = np.diff(starts)[rows]
    return np.repeat(np.arange(len(rows), dtype=np.int32), lengths), ranges(starts[rows], lengths)


def _step(network: Repeats, candidates: tf.Tensor) -> tuple[Callable[..., float], list[tf.Variable]]:
    """A function that trains one step and returns its loss, and the running means of the weights."""
    weights = network.weights
    optimizer = Adam(RATE)
    optimizer.build(weights)
    averages = [tf.Variable(weight, trainable=False) for weight in weights]

    def train(
        queries: tf.Tensor,
        row: tf.Tensor,
        place: tf.Tensor,
        found: tf.Tensor,
        statistics: Statistics,
        target: tf.Tensor,
        bought: tf.Tensor,
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = network.scale * tf.matmul(queries, candidates, transpose_b=True) + network.bias(statistics)
            logits = tf.tensor_scatter_nd_add(logits, tf.stack([row, place], axis=1), network(found))
            count = tf.ones_like(target, tf.float32)
            loss = losses.softmax(logits, target, bought, count) / tf.reduce_sum(count)
        optimizer.apply(tape.gradient(loss, weights), weights)
        steps = tf.cast(optimizer.iterations, tf.float32)
        kept = tf.minimum(AVERAGED, (1.0 + steps) / (10.0 + steps))  # what random weights were is soon forgotten
        for average, weight in zip(averages, weights, strict=True):
            average.assign(kept * average + (1.0 - kept) * weight)
        return loss

    traced = traced_once(train, lengths=1)

    def step(*batch: Any) -> float:
        return float(traced(*tf.nest.map_structure(tf.convert_to_tensor, batch)))

    return step, averages


def _assign(network: Repeats, values: list[np.ndarray]) -> None:
    for weight, value in zip(network.weights, values, strict=True):
        weight.assign(value)

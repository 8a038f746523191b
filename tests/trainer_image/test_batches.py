"""What makes a step, against the purchases it is drawn from."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.errors import InputError
from trainer_image import batches
from trainer_image.batches import Batch, Sampler
from trainer_image.inputs import Purchases

PRODUCTS = 9


def purchases(groups: int = 30, seed: int = 1) -> Purchases:
    """Queries with one feature, their own number, and one to six products each."""
    random = np.random.default_rng(seed)
    products = [np.sort(random.choice(PRODUCTS, random.integers(1, 7), replace=False)) for _ in range(groups)]
    splits = np.concatenate([[0], np.cumsum([len(one) for one in products])])
    product = np.concatenate(products).astype(np.int32)
    count = random.integers(1, 5, len(product)).astype(np.int32)
    return Purchases({"id": np.arange(groups, dtype=np.int32) + 100}, splits, product, count)


def bought(data: Purchases) -> Counter:
    """{(feature of the query, product): purchases}."""
    found: Counter = Counter()
    for query in range(data.groups):
        for pair in range(data.splits[query], data.splits[query + 1]):
            found[query + 100, int(data.product[pair])] += int(data.times[pair])
    return found


def in_step(batch: Batch, step: int) -> Counter:
    """The same of one step of a batch."""
    found: Counter = Counter()
    for place, candidate, count in zip(
        batch.pair_query[step], batch.pair_candidate[step], batch.pair_count[step], strict=True
    ):
        if count:
            product = batch.candidates[step, candidate] if batch.candidates.size else candidate
            found[int(batch.queries["id"][step, place]), int(product)] += int(count)
    return found


@given(
    loss=st.sampled_from(["full-catalogue", "in-batch"]),
    replicas=st.integers(1, 3),
    batch_size=st.integers(1, 80),
    first=st.integers(0, 40),
)
@settings(deadline=None, max_examples=60)
def test_a_pass_holds_every_purchase_once(loss: str, replicas: int, batch_size: int, first: int) -> None:
    """Every epoch is one, whatever a step holds; all of its steps but the last hold the same number of items."""
    data = purchases()
    sampler = Sampler(data, loss, batch_size, replicas, seed=5)
    steps = sampler.steps_per_epoch
    shares = sampler.draw(first * steps, steps, list(range(replicas)))
    held = [sum((in_step(share, step) for share in shares), Counter()) for step in range(steps)]
    assert sum(held, Counter()) == bought(data)
    items = [len({query for query, _ in one}) if loss == "full-catalogue" else one.total() for one in held]
    assert set(items[:-1]) <= {sampler.per_step}
    assert 0 < items[-1] <= sampler.per_step
    assert sampler.expected_rows * sampler.items == pytest.approx(sampler.per_step * data.rows)
    if loss == "in-batch":
        assert sampler.per_step == batch_size * replicas


@pytest.mark.parametrize("loss", ["full-catalogue", "in-batch"])
@pytest.mark.parametrize(("batch_size", "replicas"), [(7, 1), (40, 1), (40, 2), (150, 1)])
def test_epochs_are_passes_over_the_rows(loss: str, batch_size: int, replicas: int) -> None:
    """Counted over what three epochs of a training draw, chunk by chunk."""
    data = purchases()
    found: Counter[Any] = Counter()
    sampler = Sampler(data, loss, batch_size, replicas, seed=5)
    each, everyone = sampler.steps_per_epoch, list(range(replicas))
    draw = lambda first, count: sampler.draw(first, count, everyone)  # noqa: E731
    with batches.prefetched(draw, 0, 3 * each, each) as chunks:
        for chunk in chunks:
            for share in chunk.shares:
                found.update(sum((in_step(share, step) for step in range(chunk.steps)), Counter()))
    assert found == Counter({pair: 3 * count for pair, count in bought(data).items()})


def test_a_replica_without_a_share_of_the_last_step_draws_nothing() -> None:
    """Two replicas of one query each, of three queries: the last step has one for the first replica."""
    data = purchases(groups=3)
    sampler = Sampler(data, "full-catalogue", data.rows // 3, 2, seed=5)
    assert (sampler.per_step, sampler.steps_per_epoch) == (2, 2)
    first, second = sampler.draw(0, 2, [0, 1])
    assert in_step(first, 1)
    assert not in_step(second, 1)
    alone = sampler.draw(1, 1, [1])[0]
    assert not alone.pair_count.any()
    assert alone.queries["id"].shape == alone.pair_count.shape == (1, 1)


@pytest.mark.parametrize("loss", ["full-catalogue", "in-batch"])
def test_a_step_is_known_from_its_number_alone(loss: str) -> None:
    long = Sampler(purchases(), loss, 7, 1, seed=5).draw(0, 12, [0])[0]
    short = Sampler(purchases(), loss, 7, 1, seed=5).draw(5, 4, [0])[0]
    assert [in_step(long, step) for step in range(5, 9)] == [in_step(short, step) for step in range(4)]
    other = Sampler(purchases(), loss, 7, 1, seed=6).draw(0, 12, [0])[0]
    assert [in_step(long, step) for step in range(12)] != [in_step(other, step) for step in range(12)]


@pytest.mark.parametrize("loss", ["full-catalogue", "in-batch"])
def test_replicas_share_the_global_batch(loss: str) -> None:
    one = Sampler(purchases(), loss, 12, 1, seed=5).draw(3, 4, [0])[0]
    shares = Sampler(purchases(), loss, 6, 2, seed=5).draw(3, 4, [0, 1])
    alone = Sampler(purchases(), loss, 6, 2, seed=5).draw(3, 4, [1])[0]
    for step in range(4):
        assert in_step(shares[0], step) + in_step(shares[1], step) == in_step(one, step)
        assert in_step(alone, step) == in_step(shares[1], step)


def test_candidates_in_batch_are_the_products_of_all_replicas_with_their_numbers() -> None:
    shares = Sampler(purchases(), "in-batch", 6, 2, seed=5).draw(0, 3, [0, 1])
    for step in range(3):
        products: Counter = Counter()
        for share in shares:
            for (_, product), count in in_step(share, step).items():
                products[product] += count
        for share in shares:
            held = share.candidate_count[step] > 0
            found = zip(share.candidates[step][held].tolist(), share.candidate_count[step][held], strict=True)
            assert dict(found) == products


@pytest.mark.parametrize(
    ("rows", "groups", "batch_rows", "queries"),
    [
        (400_000, 2_000, 4_096, 21),  # of 200 rows each
        (400_000, 2_000, 102_400, 512),
        (400_000, 400_000, 4_096, 4_096),  # no two queries are equal
        (400_000, 40, 4_096, 1),  # which holds 10,000 rows
        (400_000, 40, 400_000, 40),
        (10, 3, 10, 3),
    ],
)
def test_queries_of_a_step(rows: int, groups: int, batch_rows: int, queries: int) -> None:
    assert batches.queries_per_step(rows, groups, batch_rows) == queries


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(InputError, match=r"--batch-size: found 11 rows .* at most the 10 training rows"):
        batches.expect_a_batch(10, 11, 1)
    batches.expect_a_batch(10, 5, 2)


def drawn(first: int, last: int, per_epoch: int) -> list[list[int]]:
    """[first step, steps] of every chunk."""
    draw: Any = lambda step, steps: [step]  # noqa: E731
    with batches.prefetched(draw, first, last, per_epoch) as chunks:
        found: Any = [[chunk.shares[0], chunk.steps] for chunk in chunks]
    return found


def test_chunks_end_with_their_epoch_and_do_not_depend_on_where_a_run_began() -> None:
    whole = drawn(0, 80, 40)
    assert whole == [[0, 16], [16, 16], [32, 8], [40, 16], [56, 16], [72, 8]]
    assert drawn(56, 80, 40) == whole[4:]


def test_an_error_while_drawing_reaches_the_training() -> None:
    def draw(first: int, steps: int) -> list[Batch]:
        raise RuntimeError("no such row")

    with pytest.raises(RuntimeError, match="no such row"), batches.prefetched(draw, 0, 10, 10) as chunks:
        next(chunks)


def test_padding_depends_on_the_parts_alone() -> None:
    found = batches.stacked([np.arange(1, 1001), np.arange(1, 3)], np.int32)
    assert found.shape == (2, 1024)
    assert found[0, :1000].tolist() == list(range(1, 1001))
    assert not found[0, 1000:].any()
    assert found[1].sum() == 3

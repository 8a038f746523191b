"""`make bench-quality`: its figures by hand, and the basket split read back."""

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from benchmarks import quality, quality_figures, quality_logs
from benchmarks.train_data import make
from components.common import examples, schema
from components.common.errors import InputError
from components.common.ranking import UNRANKED, recall
from components.data_extractor.extract import extract
from components.evaluator.evaluate import evaluate


def test_a_product_is_ranked_among_those_never_bought() -> None:
    # Customer 0 bought the two best products of query 0; customer 1 has the same query and bought nothing.
    scores = np.array([[9, 8, 5, 3, 3], [1, 2, 3, 4, 5]], np.float32)
    bought = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]], bool)
    query, customer, target = np.array([[0, 0, 2], [1, 2, 0], [0, 1, 3], [0, 0, 4], [0, 0, -1], [0, 1, 1]]).T
    better, tied = quality_figures.explore_ranks(
        lambda queries: scores[queries], lambda customers: bought[customers], query, customer, target
    )
    assert better.tolist() == [0, 3, 3, 1, UNRANKED, 1]
    assert tied.tolist() == [0, 0, 1, 1, 0, 0]


def test_explore_ranks_are_those_of_a_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_figures, "PAIRS", 7)
    random = np.random.default_rng(1)
    scores, bought = random.permutation(40 * 30).reshape(40, 30), random.random((25, 30)) < 0.4
    query, customer, target = (random.integers(0, size, 500) for size in (40, 25, 30))
    rows = ~bought[customer, target]
    query, customer, target = query[rows], customer[rows], target[rows]
    better, tied = quality_figures.explore_ranks(
        lambda queries: scores[queries], lambda customers: bought[customers], query, customer, target
    )
    for row in range(len(target)):
        free = np.flatnonzero(~bought[customer[row]])
        order = free[np.argsort(-scores[query[row], free])].tolist()
        assert better[row] == order.index(target[row])
    assert not tied.any()


def test_one_score_for_everybody_and_nothing_in_the_catalogue() -> None:
    sold, nobody = np.array([5.0, 4.0, 3.0]), np.zeros(2, np.int64)
    bought = np.array([[True, False, False], [False, False, False]])
    customer = np.array([0, 1])
    ranks = quality_figures.explore_ranks(
        lambda _: sold[None, :], lambda customers: bought[customers], nobody, customer, np.array([2, 2])
    )
    assert ranks[0].tolist() == [1, 2]
    nothing = np.array([-1, -1])
    ranks = quality_figures.explore_ranks(lambda _: sold[None, :], lambda _: bought, nobody, customer, nothing)
    assert recall(*ranks, 100).tolist() == [0, 0]


def test_recall_and_ndcg_of_baskets_by_hand() -> None:
    # Basket 0 holds three products, in places 1, 3 and beyond 10; basket 1 one in place 2; basket 2 one beyond.
    basket = np.array([0, 1, 0, 2, 0])
    place = np.array([1, 2, 3, 11, 40])
    found = quality_figures.basket_recall((place <= 10).astype(float), basket)
    np.testing.assert_allclose(found, [2 / 3, 1, 0])
    worth = np.concatenate([quality_figures.discounts(10), np.zeros(90)])[place - 1]
    np.testing.assert_allclose(quality_figures.discounts(3), [1, 0.6309297535714575, 0.5])
    # 1 + 1/2 of 1 + 0.63093 + 1/2; 0.63093 of 1; nothing.
    expected = [1.5 / 2.1309297535714575, 0.6309297535714575, 0]
    np.testing.assert_allclose(quality_figures.basket_ndcg(worth, basket), expected)


def test_the_best_list_of_a_basket_larger_than_the_list_is_worth_one() -> None:
    worth = np.concatenate([quality_figures.discounts(10), np.zeros(4)])
    assert quality_figures.basket_ndcg(worth, np.zeros(14, np.int64)) == pytest.approx([1.0])


def test_a_purchase_counts_half_after_thirty_days() -> None:
    day = 86_400
    product, time = np.array([0, 1, 1, -1, 0]), np.array([100, 70, 40, 100, 100]) * day
    assert quality_figures.decayed(product, time, 3).tolist() == [2, 0.5 + 0.25, 0]


def test_seconds_to_beat() -> None:
    curve = [{"validation_recall_10": value, "seconds": seconds} for seconds, value in ((3, 0.1), (6, 0.2), (9, 0.3))]
    assert quality_figures.seconds_to_beat(curve, 0.2) == 9
    assert quality_figures.seconds_to_beat(curve, 0.3) is None


def test_the_last_basket_is_the_test() -> None:
    # Customer 0 has baskets at 10, 20, 30 and 40, customer 1 two and customer 2 three; rows in any order.
    rows = np.array([(0, 40), (0, 10), (1, 99), (0, 30), (2, 7), (0, 40), (2, 9), (0, 20), (1, 98), (2, 8)])
    assert quality_logs.basket_split(*rows.T).tolist() == [
        *("test", "train", "train", "validation", "train", "test", "test", "train", "train", "validation")
    ]


def test_the_basket_log_holds_the_same_rows_and_what_was_paid_in_training(tmp_path: Path) -> None:
    purchases, products = str(tmp_path / "purchases.parquet"), str(tmp_path / "products.parquet")
    # The last two rows are copies; product 3 is not in the catalogue of two.
    duckdb.sql("""
        SELECT who AS cust_person_id, product::BIGINT AS product_id, paid::DOUBLE AS revenue, 'here' AS city,
          to_timestamp(1700000000 + moment) AT TIME ZONE 'UTC' AS "timestamp"
        FROM (VALUES ('a', 1, 1.5, 100), ('a', 2, 2.25, 100), ('a', 1, 4, 200), ('a', 3, 50, 250), ('a', 2, 8, 300),
          ('b', 1, 16, 150), ('b', 2, 32, 350), ('a', 1, 1, 50), ('a', 1, 1, 50)) AS rows(who, product, paid, moment)
    """).write_parquet(purchases)
    duckdb.sql("""
        SELECT unnest([1, 2, 3])::BIGINT AS product_id, 'näme' AS art_name, 'c' AS stratbuy_domain_desc,
          's' AS mge_main_cat_desc
    """).write_parquet(products)
    source, output = str(tmp_path / "source"), str(tmp_path / "output")
    metadata = extract(
        purchases=purchases,
        products=products,
        output_path=source,
        catalogue_size=2,
        train_share=0.5,
        validation_share=0.25,
        revenue_as_of="training",
        thresholds="{duplicate: 1.0}",
    )
    quality_logs._split_by_basket(source, purchases, output)
    written = schema.read_metadata(f"{output}/{schema.METADATA}")
    assert written["products"] == metadata["products"]
    columns = {**metadata["schema"]}
    found = {}
    for split in schema.SPLITS:
        rows = examples.read(examples.shards(f"{output}/{split}"), columns)
        rows_of = zip(*(rows[name].tolist() for name in ("cust_person_id", "product_id", "timestamp")), strict=True)
        found[split] = [(who, product, moment - 1_700_000_000) for who, product, moment in rows_of]
        facts = {"first_timestamp": rows["timestamp"].min(), "last_timestamp": rows["timestamp"].max(), "shards": 1}
        assert written["splits"][split] == {"rows": len(found[split]), **facts}
        assert set(rows["art_name"].tolist()) == {"näme".encode()}
        # In training a has baskets at 50 and 100: 1 + 1.5 + 2.25; b has too few baskets to leave any out.
        paid = {b"a": 4.75, b"b": 48.0}
        assert rows["revenue"].tolist() == [paid[who] for who, _, _ in found[split]]
    assert found == {
        "train": [(b"a", 1, 50), (b"a", 1, 100), (b"a", 2, 100), (b"b", 1, 150), (b"b", 2, 350)],
        "validation": [(b"a", 1, 200)],
        "test": [(b"a", 2, 300)],
    }


def test_baskets_are_dealt_whole_to_ten_customers(tmp_path: Path) -> None:
    purchases = str(tmp_path / "purchases.parquet")
    duckdb.sql("""
        SELECT who::VARCHAR AS cust_person_id, (7 * moment + piece) AS product_id, 1.5 AS revenue, 'here' AS city,
          to_timestamp(3600 * moment) AT TIME ZONE 'UTC' AS "timestamp"
        FROM range(3) AS customers(who), range(200) AS baskets(moment), range(2) AS pieces(piece)
    """).write_parquet(purchases)
    rows, before = (
        duckdb.read_parquet(path) for path in (quality_logs.dealt(purchases, str(tmp_path / "dealt")), purchases)
    )
    assert rows.columns == before.columns
    assert sorted((who.split(" ")[0], *rest) for who, *rest in rows.fetchall()) == sorted(before.fetchall())
    owners: dict[tuple[str, Any], set[str]] = {}
    for who, _, _, _, time in rows.fetchall():
        owners.setdefault((who.split(" ")[0], time), set()).add(who)
    assert {len(of_basket) for of_basket in owners.values()} == {1}
    customers = [next(iter(of_basket)) for of_basket in owners.values()]
    assert len(set(customers)) == 30
    assert max(customers.count(who) for who in customers) < 45  # 20 on average, with a standard deviation of 4.2
    again = quality_logs.dealt(purchases, str(tmp_path / "again"))
    assert duckdb.read_parquet(again).fetchall() == rows.fetchall()


@pytest.mark.slow
def test_what_more_is_known_of_is_called_so(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    make(log, rows=20_000, customers=300, products=120, seed=3)
    settings = {"epochs": 1, "batch_size": 512, "warmup_steps": 10, "top_k": 50, "seed": 1}
    known = {"history_through": "validation"}
    found = quality_figures.trained(log, quality.HISTORY, {**settings, **known}, False, str(tmp_path))
    evaluation = evaluate(
        model=f"{tmp_path}/model",
        examples=f"{log}/examples",
        vocabularies=f"{log}/vocabularies.json",
        output_path=f"{tmp_path}/evaluation",
    )
    assert "seconds_to_beat_personal_frequency" not in found
    for scorer in ("model", "personal_frequency_through_validation"):
        expected = evaluation["metrics"][scorer.removesuffix("_through_validation")]["recall_10"]["value"]
        assert found["figures"][scorer]["recall_10"] == pytest.approx(expected)
    columns = {schema.CUSTOMER: "string", schema.PRODUCT: "int64"}
    pairs = {}
    for split in schema.SPLITS:
        rows = examples.read(examples.shards(f"{log}/examples/{split}"), columns)
        pairs[split] = list(zip(rows[schema.CUSTOMER].tolist(), rows[schema.PRODUCT].tolist(), strict=True))
    bought = {*pairs["train"], *pairs["validation"]}
    assert found["explore_share"] == pytest.approx(np.mean([pair not in bought for pair in pairs["test"]]))


@pytest.mark.slow
def test_recall_is_what_the_evaluator_writes(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    make(log, rows=20_000, customers=300, products=120, seed=3)
    settings = {"epochs": 1, "batch_size": 512, "warmup_steps": 10, "top_k": 50, "seed": 1}
    found = quality_figures.trained(log, "feature_config.yaml", settings, False, str(tmp_path))
    evaluation = evaluate(
        model=f"{tmp_path}/model",
        examples=f"{log}/examples",
        vocabularies=f"{log}/vocabularies.json",
        output_path=f"{tmp_path}/evaluation",
    )
    explored = found["figures"].pop("recent_popularity")
    assert set(found["figures"]) == set(evaluation["metrics"])
    for scorer, figures in found["figures"].items():
        for k in quality_figures.KS:
            assert figures[f"recall_{k}"] == pytest.approx(evaluation["metrics"][scorer][f"recall_{k}"]["value"])
    assert all(0 < explored[f"explore_recall_{k}"] <= 1 for k in quality_figures.EXPLORE_KS)
    assert set(explored) < set(found["figures"]["model"])
    columns = {schema.CUSTOMER: "string", schema.PRODUCT: "int64"}
    pairs = {}
    for split in ("train", "test"):
        rows = examples.read(examples.shards(f"{log}/examples/{split}"), columns)
        pairs[split] = list(zip(rows[schema.CUSTOMER].tolist(), rows[schema.PRODUCT].tolist(), strict=True))
    trained = set(pairs["train"])
    assert found["explore_share"] == pytest.approx(np.mean([pair not in trained for pair in pairs["test"]]))


def result(recall_10: float, beaten: float | None) -> dict[str, Any]:
    figures = {"model": {"recall_10": recall_10}, "popularity": {"recall_10": 0.125, "explore_recall_10": 0.0625}}
    times = {"train_seconds": 10.0, "seconds_to_beat_personal_frequency": beaten}
    return {"figures": figures, "explore_share": 0.5, **times}


def test_the_summary() -> None:
    found = {"temporal": {"default": [result(0.2, 4.0), result(0.4, 6.0)], "history": [result(0.5, None)]}}
    last = quality.summary(found, {"recall_10": 0.1, "epochs": 7, "seconds": 60.0})
    assert json.loads(json.dumps(last)) == {
        "temporal_default_recall_10": {"mean": 0.3, "spread": 0.1414},
        "temporal_default_train_seconds": {"mean": 10.0, "spread": 0.0},
        "temporal_default_seconds_to_beat_personal_frequency": {"mean": 5.0, "spread": 1.4},
        "temporal_history_recall_10": {"mean": 0.5, "spread": None},
        "temporal_history_train_seconds": {"mean": 10.0, "spread": None},
        "temporal_history_seconds_to_beat_personal_frequency": None,
        "temporal_popularity_recall_10": 0.125,
        "temporal_popularity_explore_recall_10": 0.0625,
        "temporal_stock_tfrs_recall_10": 0.1,
        "temporal_stock_tfrs_epochs": 7,
        "temporal_stock_tfrs_seconds": 60.0,
        "default_vs_stock_tfrs_recall_10": 3.0,
    }


def test_a_config_without_a_time_has_none() -> None:
    untimed = {name: value for name, value in result(0.5, None).items() if "beat" not in name}
    last = quality.summary({"random": {"history_through_validation": [untimed]}}, None)
    assert "random_history_through_validation_train_seconds" in last
    assert not [name for name in last if "beat" in name]


def test_a_result_is_kept_for_its_config_and_options(tmp_path: Path) -> None:
    def kept(options: dict[str, Any], fresh: bool = False) -> dict[str, Any] | str:
        return quality._kept(str(tmp_path), "temporal-default-1", "feature_config.yaml", options, fresh)

    path = kept({"epochs": 1})
    assert isinstance(path, str)
    Path(path).write_text('{"epochs": 1}', encoding="utf-8")
    assert kept({"epochs": 1}) == {"epochs": 1}
    assert kept({"epochs": 2}) != path
    assert isinstance(kept({"epochs": 2}), str)
    assert kept({"epochs": 1}, fresh=True) == path
    assert not Path(path).exists()


def test_an_unknown_log_is_named() -> None:
    with pytest.raises(InputError, match="'yearly'"):
        quality._chosen("--logs", "temporal,yearly", quality.LOGS)

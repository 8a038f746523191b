"""Warm starts against tables and kernels put together by hand, token by token, in NumPy float64."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import warm_start as benchmark
from components.common.errors import InputError
from tests.toy_shops import Shop
from tests.trainer_image.known_weights import CONFIG, Vocabularies, build, kernels, rows, table, vocabulary
from trainer_image import warm_start, weights
from trainer_image.model import TwoTower

CUSTOMER = "    - {kind: id, name: cust_person_id, dim: 8}\n"
REVENUE = "    - {kind: numeric, name: revenue}\n"
CITY = "    - {kind: text, name: city, dim: 4}\n"
BUCKETS = "    - {kind: numeric, name: revenue, transform: bucketize, buckets: 4, dim: 4}\n"
TIME = "    - {kind: temporal, name: timestamp, periods: [hour]}\n"


def summary(carried: warm_start.Carried) -> dict[str, warm_start.Table]:
    return {entry.feature: entry for entry in carried.tables}


@pytest.fixture(scope="module")
def before(shop: Shop) -> Vocabularies:
    return dict(json.loads(Path(shop.vocabularies).read_text(encoding="utf-8"))["features"])


@pytest.fixture(scope="module")
def earlier(shop: Shop, before: Vocabularies, tmp_path_factory: pytest.TempPathFactory) -> tuple[TwoTower, str]:
    """An earlier model and the folder with its weights."""
    model = build(CONFIG, before, shop.products, seed=1)
    folder = str(tmp_path_factory.mktemp("earlier"))
    weights.save(folder, model)
    return model, folder


def test_a_model_started_from_itself_embeds_alike(
    shop: Shop, before: Vocabularies, earlier: tuple[TwoTower, str]
) -> None:
    model, path = earlier
    again = build(CONFIG, before, shop.products, seed=2)
    bought = {name: [row[name] for row in shop.rows["test"]] for name in ("cust_person_id", "revenue", "city")}
    raw = {name: tf.constant(column) for name, column in bought.items()}

    def embeddings(of: TwoTower) -> tuple[np.ndarray, np.ndarray]:
        return of.query_tower(of.query_encoder(raw)).numpy(), of.candidate_tower(of.encoded_catalogue).numpy()

    fresh = embeddings(again)
    carried = warm_start.apply(path, again, shop.products)
    for found, expected, unlike in zip(embeddings(again), embeddings(model), fresh, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert not np.array_equal(unlike, expected)
    assert all((entry.new, entry.dropped) == (0, 0) for entry in carried.tables)
    assert carried.fresh_inputs == {"query": [], "candidate": []}


def test_of_several_models_the_latest_is_taken(
    shop: Shop, before: Vocabularies, earlier: tuple[TwoTower, str], tmp_path: Path
) -> None:
    folder = tmp_path / "20261129-180000-3f2a"
    folder.symlink_to(earlier[1])
    (tmp_path / "latest").write_text(f"{folder.name}\n")
    model = build(CONFIG, before, shop.products, seed=2)
    assert warm_start.apply(str(tmp_path), model, shop.products).path == str(folder)


def test_customers_are_carried_by_token_and_new_ones_start_at_the_mean(
    shop: Shop, before: Vocabularies, earlier: tuple[TwoTower, str]
) -> None:
    model, path = earlier
    known = before["cust_person_id"]["tokens"]
    after = {**before, "cust_person_id": vocabulary("new 1", *reversed(known[3:]), "new 2")}
    later = build(CONFIG, after, shop.products, seed=2)
    carried = warm_start.apply(path, later, shop.products)
    old, new = rows(model, "cust_person_id", before), rows(later, "cust_person_id", after)
    for token in known[3:]:
        np.testing.assert_array_equal(new[token], old[token])
    mean = np.mean([old[token].astype(np.float64) for token in known[3:]], axis=0)
    for token in ("new 1", "new 2"):
        np.testing.assert_allclose(new[token], mean, rtol=1e-6)
    np.testing.assert_array_equal(table(later, "cust_person_id")[0], table(model, "cust_person_id")[0])
    expected = warm_start.Table("query", "cust_person_id", carried=len(known) - 3, new=2, dropped=3)
    assert summary(carried)["cust_person_id"] == expected


def test_new_products_start_at_the_mean_of_their_category(
    shop: Shop, before: Vocabularies, earlier: tuple[TwoTower, str]
) -> None:
    """1000 left the vocabulary, 1003 the lookup, 1005 and 1011 their category; six are new, three in none of old."""
    model, path = earlier
    about = {"art_name": "new", "mge_main_cat_desc": "subcategory 0"}
    categories = {"2000": "category 0", "2001": "category 1", "2002": "category 1", "2003": "unheard of", "2004": ""}
    products = {
        **{product: shop.products[product] for product in shop.products if product != "1003"},
        **{product: {**about, "stratbuy_domain_desc": category} for product, category in categories.items()},
    }
    for product, category in (("1005", "category 0"), ("1011", "")):
        products[product] = {**products[product], "stratbuy_domain_desc": category}
    known = [product for product in before["product_id"]["tokens"] if product != "1000"]
    after = {**before, "product_id": vocabulary(*categories, "2005", *sorted(known))}
    later = build(CONFIG, after, products, seed=2)
    carried = warm_start.apply(path, later, products)
    old, new = rows(model, "product_id", before), rows(later, "product_id", after)
    for product in known:
        np.testing.assert_array_equal(new[product], old[product])

    def mean(*of: int) -> np.ndarray:
        return np.mean([old[str(product)].astype(np.float64) for product in of], axis=0)

    np.testing.assert_allclose(new["2000"], mean(1002, 1004, 1005, 1006, 1008, 1010), rtol=1e-6)
    for product in ("2001", "2002"):
        np.testing.assert_allclose(new[product], mean(1001, 1007, 1009), rtol=1e-6)
    for product in ("2003", "2004", "2005"):
        np.testing.assert_allclose(new[product], mean(*range(1001, 1012)), rtol=1e-6)
    expected = warm_start.Table("candidate", "product_id", carried=11, new=6, dropped=1, by_category=3)
    assert summary(carried)["product_id"] == expected


def test_without_a_token_in_common_only_the_unknown_one_is_carried(
    shop: Shop, before: Vocabularies, earlier: tuple[TwoTower, str]
) -> None:
    model, path = earlier
    later = build(CONFIG, {**before, "city": vocabulary("Lyon", "Oslo")}, shop.products, seed=2)
    fresh = table(later, "city")
    carried = warm_start.apply(path, later, shop.products)
    np.testing.assert_array_equal(table(later, "city"), np.concatenate([table(model, "city")[:1], fresh[1:]]))
    entry = summary(carried)["city"]
    assert entry == warm_start.Table("query", "city", new=2, dropped=3, fresh="no token in common")


def test_added_removed_and_moved_features_keep_their_own_rows_of_the_first_kernel(
    shop: Shop, before: Vocabularies, earlier: tuple[TwoTower, str]
) -> None:
    """Before: customer 0-7, revenue 8, city 9-12. After: hour 0-1, city 2-5, revenue's bucket 6-9, customer 10-17."""
    model, path = earlier
    config = CONFIG.replace(CUSTOMER + REVENUE + CITY, TIME + CITY + BUCKETS + CUSTOMER)
    later = build(config, before, shop.products, seed=2)
    fresh, fresh_table, old = kernels(later), table(later, "revenue_bucket"), kernels(model)
    carried = warm_start.apply(path, later, shop.products)
    first = np.concatenate([fresh[0][0:2], old[0][9:13], fresh[0][6:10], old[0][0:8]])
    for found, expected in zip(kernels(later), [first, *old[1:]], strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(table(later, "revenue_bucket"), fresh_table)
    np.testing.assert_array_equal(table(later, "city"), table(model, "city"))
    assert carried.fresh_inputs == {"query": ["timestamp", "revenue_bucket"], "candidate": []}
    assert summary(carried)["revenue_bucket"].fresh == "the earlier model has no such feature"


def test_a_table_that_only_the_earlier_model_has_is_counted_as_dropped(
    shop: Shop, before: Vocabularies, earlier: tuple[TwoTower, str]
) -> None:
    model, path = earlier
    later = build(CONFIG.replace(CITY, ""), before, shop.products, seed=2)
    carried = warm_start.apply(path, later, shop.products)
    np.testing.assert_array_equal(kernels(later)[0], kernels(model)[0][:9])
    assert summary(carried)["city"] == warm_start.Table("query", "city", dropped=3)


def test_bucket_tables_are_carried_with_their_boundaries_and_else_start_at_random(
    shop: Shop, before: Vocabularies, tmp_path: Path
) -> None:
    config = CONFIG.replace(REVENUE, BUCKETS)
    revenue = before["revenue"]
    moved = {**revenue, "quantiles": [value + 1 for value in revenue["quantiles"]]}
    model = build(config, before, shop.products, seed=1)
    weights.save(str(tmp_path), model)
    for statistics, agrees in ((revenue, True), (moved, False)):
        later = build(config, {**before, "revenue": statistics}, shop.products, seed=2)
        fresh = table(later, "revenue_bucket")
        carried = warm_start.apply(str(tmp_path), later, shop.products)
        expected = table(model, "revenue_bucket") if agrees else fresh
        np.testing.assert_array_equal(table(later, "revenue_bucket"), expected)
        np.testing.assert_array_equal(kernels(later)[0], kernels(model)[0])  # the feature is the same one
        counts = {"carried": 4} if agrees else {"new": 4, "dropped": 4, "fresh": "other boundaries"}
        assert summary(carried)["revenue_bucket"] == warm_start.Table("query", "revenue_bucket", **counts)


def test_crossed_tables_are_carried_with_their_buckets_and_else_start_at_random(
    shop: Shop, before: Vocabularies, earlier: tuple[TwoTower, str]
) -> None:
    model, path = earlier
    key = "stratbuy_domain_desc_x_mge_main_cat_desc"
    for buckets in (20, 21):
        later = build(CONFIG.replace("buckets: 20", f"buckets: {buckets}"), before, shop.products, seed=2)
        fresh = table(later, key)
        carried = warm_start.apply(path, later, shop.products)
        np.testing.assert_array_equal(table(later, key), table(model, key) if buckets == 20 else fresh)
        counts = {"carried": 20} if buckets == 20 else {"new": 21, "dropped": 20, "fresh": "other buckets"}
        assert summary(carried)[key] == warm_start.Table("candidate", key, **counts)


def test_a_time_in_other_periods_is_another_feature(shop: Shop, before: Vocabularies, tmp_path: Path) -> None:
    """Hour and weekday are as wide as each other, but their weights mean something else."""
    model = build(CONFIG.replace(REVENUE, TIME), before, shop.products, seed=1)
    weights.save(str(tmp_path), model)
    later = build(CONFIG.replace(REVENUE, TIME.replace("hour", "weekday")), before, shop.products, seed=2)
    fresh = kernels(later)[0]
    carried = warm_start.apply(str(tmp_path), later, shop.products)
    old = kernels(model)[0]
    np.testing.assert_array_equal(kernels(later)[0], np.concatenate([old[:8], fresh[8:10], old[10:]]))
    assert carried.fresh_inputs["query"] == ["timestamp"]


def test_the_summary_is_a_line_for_each_table_and_tower(
    shop: Shop, before: Vocabularies, earlier: tuple[TwoTower, str]
) -> None:
    products = {
        **shop.products,
        "2000": shop.products["1000"],
        "2001": {**shop.products["1000"], "stratbuy_domain_desc": ""},
    }
    after = {
        **before,
        "product_id": vocabulary("2000", "2001", *before["product_id"]["tokens"][1:]),
        "city": vocabulary("Köln", "Oslo"),
    }
    later = build(CONFIG.replace(REVENUE, BUCKETS), after, products, seed=2)
    lines = warm_start.describe(warm_start.apply(earlier[1], later, products)).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        f"warm start from {earlier[1]}",
        "query cust_person_id 40 carried, 0 new, 0 dropped",
        "query revenue_bucket 0 carried, 4 new (4 at random: the earlier model has no such feature), 0 dropped",
        "query city 1 carried, 1 new (1 at the mean of all), 2 dropped",
        "candidate product_id 11 carried, 2 new (1 at the mean of their category, 1 at the mean of all), 1 dropped",
        "candidate stratbuy_domain_desc 2 carried, 0 new, 0 dropped",
        "candidate stratbuy_domain_desc_x_mge_main_cat_desc 20 carried, 0 new, 0 dropped",
        "query Dense layers carried, but the weights of revenue_bucket at random",
        "candidate Dense layers carried",
    ]


OTHER_WIDTHS = [
    (CITY, CITY.replace("4", "8"), r"weights\.npz, query tower, feature city: found dim 4, expected dim 8\. Write"),
    ("layers: [16, 8]", "layers: [12, 8]", r"query tower, layers: found \[16, 8\], expected \[12, 8\]\. Write"),
    ("layers: [16, 8]", "layers: [8]", r"query tower, layers: found \[16, 8\], expected \[8\]\. .*--warm-start-from"),
]


@pytest.mark.parametrize(("old", "new", "message"), OTHER_WIDTHS)
def test_other_widths_are_refused_and_the_model_left_as_it_was(
    shop: Shop, before: Vocabularies, earlier: tuple[TwoTower, str], old: str, new: str, message: str
) -> None:
    later = build(CONFIG.replace(old, new), before, shop.products, seed=2)
    values = later.get_values()
    with pytest.raises(InputError, match=message):
        warm_start.apply(earlier[1], later, shop.products)
    for found, expected in zip(later.get_values(), values, strict=True):
        np.testing.assert_array_equal(found, expected)


ON_TWO_REPLICAS = """
import json, sys
import numpy as np
import trainer_image
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from benchmarks import warm_start as benchmark
from components.common import feature_config as fc
from trainer_image import strategy, warm_start
from trainer_image.model import Encoders, TwoTower
path, vocabularies, products, config = sys.argv[1], *(json.loads(argument) for argument in sys.argv[2:])
distribution = strategy.choose()
with distribution.scope():
    loaded = fc.load(config)
    model = TwoTower(loaded, Encoders(loaded, vocabularies, products, {"vocabularies": "v", "metadata": "m"}), 0.0)
    warm_start.apply(path, model, products)
replicas = zip(*(distribution.experimental_local_results(weight.value) for weight in model.weights))
for i, values in enumerate(replicas):
    np.savez(f"{path}/replica_{i}.npz", *(value.numpy() for value in values))
"""


@pytest.mark.slow
def test_every_replica_starts_warm(shop: Shop, before: Vocabularies, earlier: tuple[TwoTower, str]) -> None:
    model, path = earlier
    arguments = [json.dumps(argument) for argument in (before, shop.products, CONFIG)]
    done = subprocess.run([sys.executable, "-c", ON_TWO_REPLICAS, path, *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    for replica in range(2):
        found = np.load(f"{path}/replica_{replica}.npz")
        for name, expected in zip(found.files, model.get_values(), strict=True):
            np.testing.assert_array_equal(found[name], expected)


def test_the_benchmark_counts_epochs_to_the_best_of_the_cold_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Cold: best 0.5, so 99 % is 0.495, in its epoch 4. Warm: in its epoch 2. A worse one: never."""

    def curve(*recalls: float) -> benchmark.Curve:
        return [
            {"epoch": i, "seconds": 2.0 * i, "validation_recall_100": recall} for i, recall in enumerate(recalls, 1)
        ]

    cold = curve(0.1, 0.3, 0.494, 0.495, 0.5, 0.2)
    for warm, epochs in ((curve(0.4, 0.6, 0.7), 2), (curve(0.4, 0.49), None)):
        benchmark.report(cold, warm, "2017-10-01")
        assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {
            "warm_start_epochs_saved": 4 - epochs if epochs else None,
            "epochs_to_99_cold": 4,
            "epochs_to_99_warm": epochs,
        }

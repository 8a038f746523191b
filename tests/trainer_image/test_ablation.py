"""What the metadata is worth, against figures by hand, and in worlds where it is known to be worth much or nothing."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kfp import dsl

from components.common import feature_config as fc
from components.common.errors import InputError
from components.trainer.component import trainer
from tests.toy_shops import Shop, vocabulary, write_shard
from tests.trainer_image.cluster import tf_config
from tests.trainings import without_export
from trainer_image import ablation, inputs, loop
from trainer_image.checkpoint import Checkpoints
from trainer_image.inputs import Purchases
from trainer_image.train import train

CATEGORY, SUBCATEGORY = "stratbuy_domain_desc", "mge_main_cat_desc"
REMOVED = [CATEGORY, SUBCATEGORY, f"{CATEGORY}_x_{SUBCATEGORY}"]
EVERY_KIND = f"""
query:
  features: [{{kind: id, name: cust_person_id}}, {{kind: cross, names: [city, cust_person_id]}}]
  layers: [8]
candidate:
  features:
    - {{kind: id, name: {SUBCATEGORY}}}
    - {{kind: id, name: product_id}}
    - {{kind: text, name: {CATEGORY}}}
    - {{kind: cross, names: [brand, art_name]}}
    - {{kind: cross, names: [brand, {CATEGORY}, art_name]}}
    - {{kind: numeric, name: price, transform: bucketize}}
    - {{kind: temporal, name: listed}}
  layers: [12, 8]
"""


def test_the_config_without_metadata_lacks_what_reads_it_and_nothing_else(shop: Shop) -> None:
    config = fc.load(EVERY_KIND)
    reduced = ablation.without_metadata(shop.options("unused"), config)
    assert [entry.key for entry in reduced.candidate.features] == [
        "product_id",
        "brand_x_art_name",
        "price_bucket",
        "listed",
    ]
    assert ablation.removed(config) == [SUBCATEGORY, CATEGORY, f"brand_x_{CATEGORY}_x_art_name"]
    assert (reduced.query, reduced.candidate.layers) == (config.query, (12, 8))


def bought(buyers: list[int], times: list[int]) -> Purchases:
    """A pair for each buyer, whose product does not matter here."""
    count = len(buyers)
    queries = {inputs.BUYER: np.array(buyers, np.int32)}
    return Purchases(queries, np.arange(count + 1), np.zeros(count, np.int32), np.array(times, np.int32))


def test_customers_are_resampled() -> None:
    """By hand: of two customers one gains all, one nothing. Drawn twice, they gain 0, 1/2 or 1: at 1/4, 1/2 and 1/4."""
    having, lacking = [{10: np.array([1.0, 0.5])}], [{10: np.array([0.0, 0.5])}]
    assert ablation.compared(having, lacking, bought([5, 9], [1, 1]), [42]) == {
        "recall_10": {
            "with": 0.75,
            "without": 0.25,
            "difference": {"value": 0.5, "low": 0.0, "high": 1.0},
            "per_seed": [{"seed": 42, "with": 0.75, "without": 0.25}],
        }
    }


def test_purchases_of_one_customer_are_resampled_together_and_each_counts() -> None:
    """By hand: customer 5 gains 1 in one of four purchases, customer 9 in none of two; alone the first gains 1/4."""
    having, lacking = [{10: np.array([1.0, 0.0, 0.0])}], [{10: np.zeros(3)}]
    found = ablation.compared(having, lacking, bought([5, 5, 9], [1, 3, 2]), [42])["recall_10"]
    assert found["difference"] == {"value": pytest.approx(1 / 6), "low": 0.0, "high": 0.25}


def test_seeds_are_resampled() -> None:
    """By hand: one customer, so only the two seeds differ, by 0.2 and 0.6; both are drawn twice a quarter of the time.

    The mean hides that neither seed's figure is the other's, so both are told.
    """
    having, lacking = [{10: np.array([0.5])}, {10: np.array([0.75])}], [{10: np.array([0.25])}, {10: np.array([0.0])}]
    found = ablation.compared(having, lacking, bought([5], [3]), [42, 43])["recall_10"]
    assert found["difference"] == {"value": 0.5, "low": 0.25, "high": 0.75}
    assert [(of["seed"], of["with"], of["without"]) for of in found["per_seed"]] == [(42, 0.5, 0.25), (43, 0.75, 0.0)]


def test_the_interval_is_that_of_resampled_rows() -> None:
    """Against the same written out: rows of the drawn customers side by side, for seeds drawn apart from them."""
    rng = np.random.default_rng(3)
    buyers, times = rng.integers(0, 30, 200), rng.integers(1, 5, 200)
    having, lacking = rng.random((2, 3, 200))
    having += rng.random(30)[buyers] * 0.4 + np.array([0.0, 0.1, 0.2])[:, None]  # customers and seeds matter
    found = ablation.compared(
        [{100: of} for of in having], [{100: of} for of in lacking], bought(buyers.tolist(), times.tolist()), [1, 2, 3]
    )["recall_100"]["difference"]
    difference = np.repeat(having - lacking, times, axis=1)
    of_customer = [difference[:, np.repeat(buyers, times) == customer] for customer in range(30)]
    drawn = []
    for _ in range(4000):
        rows = np.concatenate([of_customer[i] for i in rng.integers(0, 30, 30)], axis=1)
        drawn.append(rows[rng.integers(0, 3, 3)].mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found["value"] == pytest.approx(difference.mean())
    assert found["low"] == pytest.approx(low, abs=0.05 * (high - low))
    assert found["high"] == pytest.approx(high, abs=0.05 * (high - low))


@pytest.mark.parametrize(
    ("recalls", "said"),
    [
        ({10: (0.2, 0.25, -0.1), 100: (0.6, 0.5, 0.02)}, {"improvement_vs_no_metadata": "+20.0%", "proves": True}),
        ({10: (0.3, 0.2, 0.05), 100: (0.473, 0.5, -0.1)}, {"improvement_vs_no_metadata": "-5.4%", "proves": False}),
        ({10: (0.2, 0.0, 0.1)}, {"proves": True}),  # no number says how much more than nothing it is
        ({10: (0.0, 0.0, 0.0)}, {"proves": False}),
    ],
)
def test_the_impact_in_two_values_is_that_of_the_largest_k(
    recalls: dict[int, tuple[float, float, float]], said: dict[str, Any]
) -> None:
    found = {f"recall_{k}": {"with": a, "without": b, "difference": {"low": low}} for k, (a, b, low) in recalls.items()}
    expected = {("proves_metadata_value" if name == "proves" else name): value for name, value in said.items()}
    assert ablation.summary(found) == expected


@pytest.fixture(scope="module")
def ablated(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """model_metadata.json of three epochs, with two seeds."""
    folder = tmp_path_factory.mktemp("ablated")
    train(shop.options(folder / "model", epochs=3, ablate=True, ablation_seeds=2))
    assert [path.name for path in folder.iterdir()] == ["model"]  # and no checkpoints
    document: dict[str, Any] = json.loads((folder / "model" / "model_metadata.json").read_text(encoding="utf-8"))
    return document


def test_each_figure_is_that_of_a_training_of_its_own(shop: Shop, tmp_path: Path, ablated: dict[str, Any]) -> None:
    impact = ablated["metadata_impact"]
    assert (impact["removed"], impact["seeds"], impact["split"]) == (REMOVED, [42, 43], "test")
    recall = impact["recall_10"]  # there are twelve products
    said = {"improvement_vs_no_metadata", "proves_metadata_value"}
    assert set(impact) == {"removed", "seeds", "split", "recall_10", *said}
    assert impact["improvement_vs_no_metadata"] == f"{100 * recall['with'] / recall['without'] - 100:+.1f}%"
    assert impact["proves_metadata_value"] is (recall["difference"]["low"] > 0)
    bare = tmp_path / "bare.yaml"
    lines = Path("feature_config.yaml").read_text(encoding="utf-8").splitlines()
    bare.write_text("\n".join(line for line in lines if CATEGORY not in line and SUBCATEGORY not in line))
    told = {(of["seed"], which): of[which] for of in impact["recall_10"]["per_seed"] for which in ("with", "without")}
    pairs = [((42, "with"), (43, "with")), ((43, "with"), (43, "without")), ((42, "without"), (43, "without"))]
    assert all(told[one] != told[other] for one, other in pairs)  # so that none could be taken for another
    alone = {
        (seed, which): without_export(
            shop.options(tmp_path / f"{which}{seed}", epochs=3, seed=seed, feature_config=config)
        )
        for seed, which, config in (
            (42, "with", "feature_config.yaml"),
            (43, "with", "feature_config.yaml"),
            (43, "without", str(bare)),
        )
    }
    for one, document in alone.items():
        assert told[one] == pytest.approx(document["metrics"]["test_metrics"]["test_recall_10"], abs=1e-12)
    # The model itself is what it is without --ablate.
    plain = alone[42, "with"]
    assert "metadata_impact" not in plain
    for key in ("model_version", "metrics", "hyperparameters"):
        assert ablated[key] == plain[key]


@pytest.mark.slow
def test_with_a_history_it_is_of_the_finished_model(shop: Shop, tmp_path: Path) -> None:
    """Which knows more than its training did: what is compared with it knows as much."""
    options = {"feature_config": "feature_config_history.yaml", "epochs": 2, "ablate": True, "ablation_seeds": 2}
    document = train(shop.options(tmp_path / "model", **options))
    first, second = (seed["with"] for seed in document["metadata_impact"]["recall_10"]["per_seed"])
    assert first == pytest.approx(document["metrics"]["test_metrics"]["test_recall_10"], abs=1e-12)
    alone = train(shop.options(tmp_path / "alone", **{**options, "ablate": False, "seed": 43}))
    assert second == pytest.approx(alone["metrics"]["test_metrics"]["test_recall_10"], abs=1e-12)


@pytest.mark.slow
def test_what_is_finished_is_not_repeated(
    shop: Shop, tmp_path: Path, ablated: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four trainings of three epochs; the run ends in the third training's second epoch, with no checkpoint of it."""
    options = shop.options(tmp_path / "model", epochs=3, ablate=True, ablation_seeds=2)
    end_epoch, trained = loop.end_epoch, 0

    def counted(*arguments: Any) -> None:
        nonlocal trained
        trained += 1
        if trained == 8:
            raise KeyboardInterrupt
        end_epoch(*arguments)

    monkeypatch.setattr(loop, "end_epoch", counted)
    monkeypatch.setattr(Checkpoints, "is_due", lambda *_: False)
    with pytest.raises(KeyboardInterrupt):
        train(options)
    assert not (tmp_path / "model").exists()
    again = train(options)
    assert trained == 8 + 6
    assert again["metadata_impact"] == ablated["metadata_impact"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_run_may_go_on_with_or_without_it(shop: Shop) -> None:
    plain, ablating = (
        shop.options("unused"),
        shop.options("unused", ablate=True, ablation_seeds=5, history_through="train"),
    )
    assert plain.fixed == ablating.fixed
    assert plain.hyperparameters == ablating.hyperparameters


ONE_FEATURE = "query: {features: [{kind: id, name: cust_person_id}]}\ncandidate: {features: [%s]}"
BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"feature_config": ONE_FEATURE % "{kind: id, name: product_id}"},
        f"--ablate: found a feature config that does not read them, expected a feature of {CATEGORY} or {SUBCATEGORY}",
    ),
    (
        {"feature_config": ONE_FEATURE % f"{{kind: text, name: {CATEGORY}}}"},
        f"--ablate: found a candidate tower of nothing but {CATEGORY}",
    ),
    ({"warm_start_from": "/model"}, "--ablate: found --warm-start-from /model"),
    ({"refit": True}, "--ablate: found --refit, which is of one model"),
    ({"ablation_seeds": 0}, "--ablation-seeds: found 0, expected 1 or more"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_what_cannot_be_compared_is_refused_first(
    shop: Shop, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    options = shop.options(tmp_path / "model", ablate=True, tfrecords_path="/nowhere", **change)
    with pytest.raises(InputError, match=message):  # and not that there is nothing at /nowhere
        train(options)
    assert not list(tmp_path.iterdir())


def test_a_cluster_is_refused(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", tf_config(["host1:2222", "host2:2222"], 0))
    with pytest.raises(InputError, match="--ablate: found a TF_CONFIG of 2 workers, expected one"):
        train(shop.options(tmp_path / "model", ablate=True))


def test_a_catalogue_within_every_k_is_refused() -> None:
    """Recall@10 of ten products is 1, whatever the model."""
    ablation.expect_products(11)
    with pytest.raises(InputError, match="--ablate: found a catalogue of 10 products, expected more than 10"):
        ablation.expect_products(10)


def test_the_component_hands_it_on_and_logs_the_difference(shop: Shop, tmp_path: Path) -> None:
    metrics, model = dsl.Metrics(), dsl.Model(uri=str(tmp_path / "model"))
    trainer.python_func(
        examples=dsl.Dataset(uri=shop.examples),
        vocabularies=dsl.Artifact(uri=shop.vocabularies),
        feature_config="feature_config.yaml",
        model=model,
        metrics=metrics,
        epochs=1,
        batch_size=100,
        top_k=5,
        ablate=True,
        ablation_seeds=1,
    )
    document = json.loads((tmp_path / "model" / "model_metadata.json").read_text(encoding="utf-8"))
    assert document["metadata_impact"]["seeds"] == [42]
    difference = document["metadata_impact"]["recall_10"]["difference"]["value"]
    assert metrics.metadata["metadata_impact_recall_10"] == difference


PRODUCTS, CATEGORIES, CUSTOMERS = 150, 5, 60
ROWS = {"train": 200, "validation": 300, "test": 900}


def world(folder: Path, label: Callable[[int], int]) -> Shop:
    """Customers who buy whatever is in their one group of thirty products; categories are labels of the groups.

    A product has one or two training purchases, too few to learn its group from them as well as from a true label. So
    few that one of the three seeds finds nothing at all without labels, true or not: customers alone, resampled for the
    mean of the seeds, would make a gain of labels that are noise.
    """
    rng = np.random.default_rng(11)
    products = {
        str(1000 + i): {
            "art_name": f"product {i}",
            CATEGORY: f"category {label(i)}",
            SUBCATEGORY: f"subcategory {label(i)}-{i % 2}",
        }
        for i in range(PRODUCTS)
    }
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, count in ROWS.items():
        rows[split] = []
        for moment in range(count):
            customer = int(rng.integers(CUSTOMERS))
            product = str(1000 + customer % CATEGORIES + CATEGORIES * int(rng.integers(PRODUCTS // CATEGORIES)))
            rows[split].append(
                {
                    "cust_person_id": f"customer {customer}",
                    "product_id": int(product),
                    "revenue": 1.0 + customer,
                    "city": "Köln",
                    "timestamp": 1_700_000_000 + moment,
                    **products[product],
                }
            )
        write_shard(folder / split / "part-00000-of-00001.tfrecord.gz", rows[split])
    splits = {split: {"rows": len(of_split)} for split, of_split in rows.items()}
    document = {"format_version": 1, "schema": {"x": "string"}, "splits": splits, "products": products}
    (folder / "metadata.json").write_text(json.dumps(document), encoding="utf-8")
    vocabularies = {"format_version": 1, "rows": ROWS["train"], "features": vocabulary(rows["train"])}
    (folder / "vocabularies.json").write_text(json.dumps(vocabularies), encoding="utf-8")
    return Shop(str(folder), str(folder / "vocabularies.json"), str(folder / "metadata.json"), rows, products)


@pytest.mark.slow
@pytest.mark.parametrize("true", [True, False])
def test_metadata_counts_where_it_decides_and_not_where_it_is_noise(tmp_path: Path, true: bool) -> None:
    shuffled = np.random.default_rng(5).permutation(PRODUCTS)
    there = world(tmp_path / "examples", lambda i: (i if true else int(shuffled[i])) % CATEGORIES)
    impact = train(there.options(tmp_path / "model", epochs=60, ablate=True))["metadata_impact"]
    for k in (10, 100):
        difference = impact[f"recall_{k}"]["difference"]
        assert (difference["low"] > 0) is true, impact
        assert difference["low"] <= difference["value"] <= difference["high"]


@pytest.mark.slow
def test_a_kill_among_the_trainings_changes_nothing(shop: Shop, tmp_path: Path) -> None:
    settings = {"epochs": 40, "patience": 40, "checkpoint_minutes": 0.0, "ablate": True, "ablation_seeds": 1}
    undisturbed = train(shop.options(tmp_path / "undisturbed", **settings))
    options = shop.options(tmp_path / "model", **settings)
    flags = {f"--{name.replace('_', '-')}": value for name, value in asdict(options).items()}
    flags = {flag: value for flag, value in flags.items() if value != "" and not isinstance(value, bool)}
    given = [part for flag, value in flags.items() for part in (flag, str(value))]
    command = [sys.executable, "-m", "trainer_image.main", "--ablate", *given]
    checkpoints = Path(options.checkpoints, "ablation", "seed-42-without")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 300
        while not list(checkpoints.glob("step-*.npz")):
            assert process.poll() is None
            assert time.monotonic() < deadline, "no checkpoint appeared"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.count("continuing after step") == 2  # the main training, which was over, and the other
    document = json.loads((tmp_path / "model" / "model_metadata.json").read_text(encoding="utf-8"))
    assert document["metadata_impact"] == undisturbed["metadata_impact"]
    assert document["model_version"] == undisturbed["model_version"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "undisturbed"]

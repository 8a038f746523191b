import json
import math
import re
import shutil
import xml.etree.ElementTree
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.errors import InputError
from components.evaluator import baselines, inputs, slices
from components.evaluator.evaluate import evaluate
from tests.components import fake_model

pytestmark = pytest.mark.usefixtures("charts")

KS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def evaluated(world: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    output = tmp_path_factory.mktemp("evaluated") / "evaluation"
    return evaluate(**world, output_path=str(output), ks=KS), output


def test_recall_of_the_model_and_the_baselines_by_hand(evaluated: tuple[dict[str, Any], Path]) -> None:
    """Places by hand, as better + ties. Rows: ann 11, ann 14, bob 13, cyd 14, dan 12, ann 15 (never a hit).

    Model: 0, 3, 0+3, 0, 0+1. Popularity (counts 3 3 1 1): 0+1, 2+1, 2+1, 2+1, 0+1.
    By city (Ulm 3 3 1 0, Köln 0 0 0 1, Bonn nothing, so popularity): 0+1, 3, 2, 0, 0+1.
    Personal, smoothed by half of the average customer's 8/3 purchases, 4/3 x (3 3 1 1)/8 = .5 .5 .17 .17 (ann 3.5 1.5
    .17 .17, bob .5 2.5 1.17 .17, cyd .5 .5 .17 1.17, dan is new): 0, 2+1, 1, 0, 0+1.
    """
    document, _ = evaluated
    hits = {
        "model": [1 + 1 / 4 + 1 + 1 / 2, 1 + 2 / 4 + 1 + 1, 1 + 3 / 4 + 1 + 1, 5],
        "popularity": [1 / 2 + 1 / 2, 2, 1 + 1 / 2 * 3 + 1, 5],
        "popularity_by_city": [1 / 2 + 1 + 1 / 2, 3, 4, 5],
        "personal_frequency": [1 + 1 + 1 / 2, 4, 1 + 1 / 2 + 3, 5],
    }
    for scorer, expected in hits.items():
        for k, hit in enumerate(expected, 1):
            assert document["metrics"][scorer][f"recall_{k}"]["value"] == pytest.approx(hit / 6, abs=1e-12)


def test_the_other_metrics_of_the_model_by_hand(evaluated: tuple[dict[str, Any], Path]) -> None:
    """Discounts of places 1 to 4: 1, .630930, .5, .430677. Baskets: ann 11 14, bob 13, cyd 14, dan 12, ann 15."""
    document, _ = evaluated
    discounts = [1 / math.log2(place + 1) for place in (1, 2, 3, 4)]
    bob, dan = sum(discounts) / 4, (1 + discounts[1]) / 2
    expected = {
        "mrr": (1 + 1 / 4 + (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4 + 1 + (1 + 1 / 2) / 2) / 6,
        "ndcg_10": (1 + discounts[3] + bob + 1 + dan) / 6,
        "basket_recall_10": 4 / 5,
        "basket_ndcg_10": ((1 + discounts[3]) / (1 + discounts[1]) + bob + 1 + dan) / 5,
        "coverage_10": 1.0,
        "novelty_10": (2 * math.log2(8 / 3) + 2 * 3) / 4,
        "popularity_bias_10": 3 * 2 / (3 + 7 / 3 + 1),
    }
    for metric, value in expected.items():
        assert document["metrics"]["model"][metric]["value"] == pytest.approx(value, abs=1e-12), metric


def test_slices_by_hand(evaluated: tuple[dict[str, Any], Path]) -> None:
    """Repeats: ann 11, ann 14 (bought in validation), bob 13, cyd 14. Training purchases: ann 4, bob 3, cyd 1."""
    document, _ = evaluated
    slices = {f"{part['group']}.{part['name']}": part for part in document["slices"]}
    rows = {key: (part["rows"], part["customers"]) for key, part in slices.items() if part["rows"]}
    assert rows == {
        "history.repeat": (4, 3),
        "history.explore": (2, 2),
        "customers.unseen": (1, 1),
        "customers.few": (5, 3),
        "products.unseen": (1, 1),
        "products.rare": (5, 4),
        "popularity.1": (1, 1),
        "popularity.3": (1, 1),
        "popularity.6": (1, 1),
        "popularity.8": (2, 2),
        "popularity.none": (1, 1),
        "category.Dairy": (2, 2),
        "category.Dry food": (1, 1),
        "category.Household": (3, 2),
        "city.Bonn": (1, 1),
        "city.Köln": (1, 1),
        "city.Ulm": (4, 2),
    }
    repeat = slices["history.repeat"]["metrics"]
    assert repeat["model"]["recall_1"]["value"] == pytest.approx((1 + 0 + 1 / 4 + 1) / 4)
    assert repeat["popularity_by_city"]["recall_1"]["value"] == pytest.approx((1 / 2 + 0 + 0 + 1) / 4)
    assert "coverage_10" not in repeat["model"]
    assert "metrics" not in slices["products.common"]


def test_lift_is_over_the_baseline_that_does_best_there(world: dict[str, Any], tmp_path: Path) -> None:
    document = evaluate(**world, output_path=str(tmp_path / "evaluation"), ks=(1,))
    winners = set()
    for part in [document, *(part for part in document["slices"] if part["rows"])]:
        figures = {scorer: found["recall_1"]["value"] for scorer, found in part["metrics"].items()}
        lift = part["lift"]["recall_1"]
        others = [value for scorer, value in figures.items() if scorer != "model"]
        assert figures[lift["over"]] == max(others)
        assert lift["value"] == pytest.approx(figures["model"] - max(others), abs=1e-12)
        assert lift["low"] <= lift["value"] <= lift["high"]
        winners.add(lift["over"])
    assert len(winners) > 1


def test_counts_what_training_did_not_see(evaluated: tuple[dict[str, Any], Path]) -> None:
    document, output = evaluated
    assert document == json.loads((output / "evaluation.json").read_text())
    facts = {key: document[key] for key in ("split", "rows", "queries", "customers", "catalogue_size")}
    assert facts == {"split": "test", "rows": 6, "queries": 4, "customers": 4, "catalogue_size": 4}
    assert document["model_version"] == "v1"
    assert document["unseen_products"] == {"rows": 1, "share": pytest.approx(1 / 6)}
    assert document["unseen_customers"] == {"rows": 1, "share": pytest.approx(1 / 6)}


def test_two_runs_are_equal_but_for_the_time(
    world: dict[str, Any], evaluated: tuple[dict[str, Any], Path], charts: dict[str, Any], tmp_path: Path
) -> None:
    document, output = evaluated
    charts.clear()
    again = evaluate(**world, output_path=str(tmp_path / "again"), ks=KS)
    assert {**again, "timing": 0} == {**document, "timing": 0}
    assert (tmp_path / "again/report.html").read_bytes() == (output / "report.html").read_bytes()


def test_baselines_agree_with_counters_on_random_purchases(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    catalogue = list(range(100, 140))
    train, test = _purchases(rng, 900), _purchases(rng, 200)
    train += [("everyone", product) for product in catalogue]
    products = {str(product): {"art_name": "x", "stratbuy_domain_desc": "y"} for product in catalogue}
    document = evaluate(
        model=fake_model.write_model(tmp_path / "model", {"c0": np.zeros(40)}, catalogue),
        examples=fake_model.write_examples(tmp_path / "examples", train, test, products),
        vocabularies=fake_model.write_vocabularies(tmp_path / "vocabularies.json", train),
        output_path=str(tmp_path / "evaluation"),
        ks=(1, 5, 10),
    )
    sold, pairs = Counter(product for _, product in train), Counter(train)
    prior = 0.5 / len({customer for customer, _ in train})
    for scorer, score in (
        ("popularity", lambda customer, product: sold[product]),
        ("personal_frequency", lambda customer, product: pairs[customer, product] + prior * sold[product]),
    ):
        for k in (1, 5, 10):
            expected = np.mean([_expected_hit(score, customer, product, catalogue, k) for customer, product in test])
            found = document["metrics"][scorer][f"recall_{k}"]["value"]
            assert found == pytest.approx(expected, abs=1e-12)
    constant = [document["metrics"]["model"][f"recall_{k}"]["value"] for k in (1, 5, 10)]
    assert constant == pytest.approx([1 / 40, 5 / 40, 10 / 40])


def _purchases(rng: np.random.Generator, rows: int) -> list[tuple[str, int]]:
    customers, products = rng.integers(0, 30, rows).tolist(), (100 + rng.binomial(39, 0.3, rows)).tolist()
    return [(f"c{customer}", product) for customer, product in zip(customers, products, strict=True)]


def _expected_hit(
    score: Callable[[str, int], float], customer: str, target: int, catalogue: list[int], k: int
) -> float:
    ranked = sorted((score(customer, product) for product in catalogue), reverse=True)
    places = [place for place, value in enumerate(ranked) if value == score(customer, target)]
    return sum(place < k for place in places) / len(places)


def test_the_report_stands_alone_and_escapes_product_names(evaluated: tuple[dict[str, Any], Path]) -> None:
    page = (evaluated[1] / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "Spaghetti &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "Crème fraîche &amp; Käse" in page
    assert "Молоко 3,2 %" in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page.replace('xlink:href="#', 'xlink:href="#'))
    assert page.count('role="img" aria-label="Line chart') == 5
    assert "chance is 1.386" in page


def test_plots_are_well_formed_and_their_ids_distinct(evaluated: tuple[dict[str, Any], Path]) -> None:
    page = (evaluated[1] / "report.html").read_text(encoding="utf-8")
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    ids = [re.findall(r'<(?:clipPath|path) id="([^"]+)"', plot) for plot in plots]
    for plot in plots:
        xml.etree.ElementTree.fromstring(plot)  # noqa: S314  our own
    assert not set(ids[0]) & set(ids[1])


def test_a_model_without_a_training_record_still_has_a_report(world: dict[str, Any], tmp_path: Path) -> None:
    model = fake_model.write_model(tmp_path / "model")
    evaluate(**{**world, "model": model}, output_path=str(tmp_path / "evaluation"), ks=(1,), split="validation")
    page = (tmp_path / "evaluation/report.html").read_text(encoding="utf-8")
    assert page.count('role="img"') == 4
    assert "Training loss" not in page
    assert "Settings" not in page


@pytest.fixture
def refused(world: dict[str, Any], tmp_path: Path) -> Callable[..., str]:
    """Runs an evaluation that must fail: returns the error's text, and checks that nothing was left behind."""

    def run(**changes: Any) -> str:
        output = tmp_path / "out" / "evaluation"
        output.parent.mkdir()
        with pytest.raises(InputError) as error:
            evaluate(**{**world, "output_path": str(output), "ks": (1,), **changes})
        assert list(output.parent.iterdir()) == []
        return str(error.value)

    return run


@pytest.mark.parametrize(("ks", "found"), [((1, 5), "k = 5"), ((0,), "k = 0"), ((), "none")])
def test_k_outside_the_catalogue(refused: Callable[..., str], ks: tuple[int, ...], found: str) -> None:
    message = refused(ks=ks)
    assert f"--ks: found {found}" in message
    assert "4, the size of the catalogue" in message


def test_an_empty_split(refused: Callable[..., str], tmp_path: Path) -> None:
    examples = fake_model.write_examples(tmp_path / "examples", test=[])
    assert "no Examples in any shard" in refused(examples=examples)


def test_a_missing_split(refused: Callable[..., str], tmp_path: Path) -> None:
    examples = fake_model.write_examples(tmp_path / "examples")
    shutil.rmtree(f"{examples}/test")
    assert "examples/test: found no part-*.tfrecord.gz" in refused(examples=examples)


@pytest.mark.parametrize("tower", ["query_model", "candidate_model"])
def test_a_model_without_a_tower(
    refused: Callable[..., str], world: dict[str, Any], tmp_path: Path, tower: str
) -> None:
    model = shutil.copytree(world["model"], tmp_path / "model")
    shutil.rmtree(model / tower)
    assert f"model/{tower}: found no saved_model.pb" in refused(model=str(model))


def test_an_unreadable_saved_model(refused: Callable[..., str], world: dict[str, Any], tmp_path: Path) -> None:
    model = shutil.copytree(world["model"], tmp_path / "model")
    (model / "query_model/saved_model.pb").write_bytes(b"not a graph")
    assert "model/query_model: found damage" in refused(model=str(model))


def test_a_saved_model_whose_weights_are_cut_off(
    refused: Callable[..., str], world: dict[str, Any], tmp_path: Path
) -> None:
    model = shutil.copytree(world["model"], tmp_path / "model")
    for file in (model / "query_model/variables").iterdir():
        file.write_bytes(file.read_bytes()[:20])
    assert "model/query_model: found damage" in refused(model=str(model))


def test_a_model_without_metadata(refused: Callable[..., str], world: dict[str, Any], tmp_path: Path) -> None:
    model = shutil.copytree(world["model"], tmp_path / "model")
    (model / "model_metadata.json").unlink()
    assert "model_metadata.json: found no such file" in refused(model=str(model))


def test_towers_of_different_width(refused: Callable[..., str], tmp_path: Path) -> None:
    model = fake_model.write_model(tmp_path / "model", candidates=np.ones((4, 7)))
    assert "query embeddings 4 wide, candidate embeddings 7" in refused(model=model)


def test_embeddings_that_are_not_numbers(refused: Callable[..., str], tmp_path: Path) -> None:
    model = fake_model.write_model(tmp_path / "model", {**fake_model.SCORES, "bob": [1, np.nan, 0, 0]})
    message = refused(model=model)
    assert "query_model, cust_person_id bob: found an embedding with NaN or infinity (1 of 4 rows)" in message


def test_a_catalogue_product_without_metadata(refused: Callable[..., str], tmp_path: Path) -> None:
    products = {product: fields for product, fields in fake_model.PRODUCTS.items() if product != "13"}
    examples = fake_model.write_examples(tmp_path / "examples", products=products)
    assert "field products, product 13: found nothing" in refused(examples=examples)


def test_a_catalogue_product_without_a_column_of_the_model(refused: Callable[..., str], tmp_path: Path) -> None:
    products = {**fake_model.PRODUCTS, "13": {"art_name": "Milk"}}
    examples = fake_model.write_examples(tmp_path / "examples", products=products)
    assert "product 13: found no stratbuy_domain_desc" in refused(examples=examples)


def test_a_catalogue_that_the_vocabulary_does_not_have(refused: Callable[..., str], tmp_path: Path) -> None:
    vocabularies = fake_model.write_vocabularies(tmp_path / "vocabularies.json", [("ann", 11), ("bob", 12)])
    message = refused(vocabularies=vocabularies)
    assert "feature product_id: found no token 13 (2 of 4 products of the model are missing)" in message


def test_examples_without_a_city_have_no_such_baseline_and_slices(world: dict[str, Any], tmp_path: Path) -> None:
    examples = fake_model.write_examples(tmp_path / "examples", has_city=False)
    document = evaluate(**{**world, "examples": examples}, output_path=str(tmp_path / "evaluation"), ks=(1, 2))
    assert "popularity_by_city" not in document["metrics"]
    assert document["baselines_left_out"]["popularity_by_city"] == "The Examples hold no city."
    assert {part["group"] for part in document["slices"]} == {
        "history",
        "customers",
        "products",
        "popularity",
        "category",
    }


def test_ease_is_left_out_of_a_large_catalogue(
    world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "EASE_PRODUCTS", 3)
    document = evaluate(**world, output_path=str(tmp_path / "evaluation"), ks=(1,))
    assert "ease" not in document["metrics"]
    assert "The catalogue has 4 products" in document["baselines_left_out"]["ease"]


def test_a_floor_is_looked_up_however_small_its_category_is(
    world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "LARGEST", 1)
    floors = {"category.Dry food": 0.5, "category.Toys": 0.5, "city.(others)": 0.0}
    document = evaluate(**world, output_path=str(tmp_path / "evaluation"), ks=(1, 2), floors=floors)
    found = {part["name"]: part["rows"] for part in document["slices"] if part["group"] == "category"}
    assert found == {"Household": 3, "Dry food": 1, "Toys": 0, "(others)": 2}
    texts = [reason["text"] for reason in document["verdict"]["reasons"] if reason["rule"] == "floor"]
    assert texts[0] == "Recall@2 in the slice category.Dry food is 1.000, not below its floor of 0.5."
    assert texts[1] == "There is no purchase in the slice category.Toys, so its floor of 0.5 says nothing."


def test_slices_by_training_purchases_at_their_edges(tmp_path: Path) -> None:
    """Customers with 1, 5, 6, 20 and 21 purchases; products sold as often, and one that was not."""
    times = {"a": 1, "b": 5, "c": 6, "d": 20, "e": 21}
    train = [(customer, 11 + place) for place, (customer, n) in enumerate(times.items()) for _ in range(n)]
    test = [(customer, 11 + place) for place, customer in enumerate(times)] + [("f", 99)]
    products = {str(product): {"art_name": "x", "stratbuy_domain_desc": "y"} for product in (*range(11, 16), 99)}
    document = evaluate(
        model=fake_model.write_model(tmp_path / "model", {"a": np.ones(5)}, list(range(11, 16))),
        examples=fake_model.write_examples(tmp_path / "examples", train, test, products),
        vocabularies=fake_model.write_vocabularies(tmp_path / "vocabularies.json", train),
        output_path=str(tmp_path / "evaluation"),
        ks=(1,),
    )
    rows = {f"{part['group']}.{part['name']}": part["rows"] for part in document["slices"]}
    assert [rows[f"customers.{name}"] for name in ("unseen", "few", "some", "many")] == [1, 2, 2, 1]
    assert [rows[f"products.{name}"] for name in ("unseen", "rare", "common")] == [1, 4, 1]


def test_ease_answers_for_the_customer_who_asks(tmp_path: Path) -> None:
    """Half of the shop buys 11 with 12, the other half 13 with 14; who bought one is told the other."""
    train = [(f"x{i}", product) for i in range(20) for product in (11, 12)]
    train += [(f"y{i}", product) for i in range(20) for product in (13, 14)]
    train += [("ann", 11), ("bob", 13)]
    document = evaluate(
        model=fake_model.write_model(tmp_path / "model"),
        examples=fake_model.write_examples(tmp_path / "examples", train, [("ann", 12), ("bob", 14)]),
        vocabularies=fake_model.write_vocabularies(tmp_path / "vocabularies.json", train),
        output_path=str(tmp_path / "evaluation"),
        ks=(1,),
    )
    assert document["metrics"]["ease"]["recall_1"]["value"] == 1.0
    assert document["metrics"]["popularity"]["recall_1"]["value"] < 1.0


def test_a_catalogue_that_names_a_product_twice(
    refused: Callable[..., str], world: dict[str, Any], tmp_path: Path
) -> None:
    model = shutil.copytree(world["model"], tmp_path / "model")
    document = json.loads((model / "model_metadata.json").read_text())
    (model / "model_metadata.json").write_text(json.dumps({**document, "catalogue": ["11", "11", "12", "13"]}))
    assert "field catalogue: found product 11 twice" in refused(model=str(model))


def test_a_train_split_without_the_models_products(refused: Callable[..., str], tmp_path: Path) -> None:
    examples = fake_model.write_examples(tmp_path / "examples", train=[("ann", 99)])
    assert "found no purchase of a product of the model's catalogue" in refused(examples=examples)


def test_of_several_models_the_latest_is_measured(world: dict[str, Any], tmp_path: Path) -> None:
    newest = shutil.copytree(world["model"], tmp_path / "models" / "20261129-180000-3f2a")
    (tmp_path / "models" / "model_metadata.json").write_text('{"model_version": "v0", "catalogue": ["11"]}')
    (tmp_path / "models" / "latest").write_text(f"{Path(newest).name}\n")
    models = str(tmp_path / "models")
    found = inputs.read(models, models, world["examples"], world["vocabularies"], "test", KS)
    assert {name: model.version for name, model in found.models.items()} == {"model": "v1", "champion": "v1"}


def test_an_output_path_that_is_taken(world: dict[str, Any], evaluated: tuple[dict[str, Any], Path]) -> None:
    before = sorted(evaluated[1].parent.rglob("*"))
    with pytest.raises(InputError, match="the output of another run"):
        evaluate(**world, output_path=str(evaluated[1]), ks=(1,))
    assert sorted(evaluated[1].parent.rglob("*")) == before

"""What was dropped, missing, unseen and has drifted: counted by hand, by plain Python and by NumPy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common import schema
from components.common.errors import InputError
from components.data_extractor import data_report, drift
from components.data_extractor.extract import extract

CONFIG = """
query: {features: [{kind: id, name: cust_person_id}], carried: {tags: list<string>}}
candidate: {features: [{kind: id, name: product_id}]}
"""
START = 1_700_000_000
Purchase = tuple[str | None, int | None, float | None, int | None]


def write_log(folder: Path, purchases: list[Purchase], products: dict[int, tuple[str, str]]) -> tuple[str, str]:
    """A log of (customer, product, revenue, second from START), and products with (name, category)."""
    customers, bought, paid, seconds = zip(*purchases, strict=True)
    log = str(folder / "purchases.parquet"), str(folder / "products.parquet")
    table = {
        "cust_person_id": customers,
        "product_id": pa.array(bought, pa.int64()),
        "revenue": pa.array(paid, pa.float64()),
        "city": ["Ulm" if customer != "b" else None for customer in customers],
        "timestamp": pa.array([None if s is None else START + s for s in seconds], pa.timestamp("s", "UTC")),
        "tags": [["x"], ["x", "y"]] * (len(customers) // 2) + [None] * (len(customers) % 2),
    }
    pq.write_table(pa.table(table), log[0])
    described = [{"product_id": key, "art_name": n, "stratbuy_domain_desc": c} for key, (n, c) in products.items()]
    pq.write_table(pa.Table.from_pylist([{**row, "mge_main_cat_desc": "s"} for row in described]), log[1])
    return log


def run(log: tuple[str, str], output: Path, **arguments: Any) -> dict[str, Any]:
    settings = {"feature_config": CONFIG, "train_share": 0.5, "validation_share": 0.25, **arguments}
    extract(purchases=log[0], products=log[1], output_path=str(output), **settings)
    return json.loads((output / data_report.REPORT).read_text(encoding="utf-8"))


GOOD: list[Purchase] = [
    *[("a", 1, 1.0, second) for second in range(4)],
    *[("b", 2, 2.0, second) for second in range(4)],  # 8 train rows, seconds 0 to 3
    *[("a", 1, 1.0, second) for second in (4, 5)],
    *[("c", 3, 3.0, second) for second in (4, 5)],  # 4 validation rows
    ("a", 2, 1.0, 6),
    ("c", 1, 1.0, 7),
    ("d", 4, 1.0, 8),
    ("d", 4, 1.5, 8),  # 4 test rows: the same product at the same time for another price is no duplicate
]
BAD: list[Purchase] = [
    (None, 1, 1.0, 2),  # null_id, in the training period
    ("a", None, 1.0, 5),  # null_id, validation
    ("a", 1, 1.0, None),  # null_id, in no period
    ("a", 77, 1.0, 3),  # no_metadata, training
    ("a", 1, 0.0, 6),  # non_positive_revenue, test
    ("a", 1, -2.0, 9),  # the same, after all others
    ("a", 1, None, 0),
    ("a", 1, float("nan"), 0),
]
PRODUCTS = {1: ("milk", "dairy"), 2: ("soap", "care"), 3: ("<b>cheese</b>", "dairy"), 4: ("tea", "drinks")}
PATIENT = "{null_id: 1, no_metadata: 1, non_positive_revenue: 1, duplicate: 1}"


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The metadata.json of a run of the good rows; to be read only."""
    folder = tmp_path_factory.mktemp("before")
    run(write_log(folder, GOOD, PRODUCTS), folder / "out")
    return str(folder / "out" / "metadata.json")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("report")
    log = write_log(folder, [*GOOD, *BAD], PRODUCTS)
    table = pq.read_table(log[0])
    # Two rows of the training period once more, one of them twice.
    pq.write_table(pa.concat_tables([table, table.slice(0, 1), table.slice(0, 1), table.slice(5, 1)]), log[0])
    return run(log, folder / "out", thresholds=PATIENT, revenue_as_of="purchase")


def test_every_row_read_is_accounted_for(report: dict[str, Any]) -> None:
    assert report["rows"] == {
        "read": 27,
        "kept": 16,
        "null_id": 3,
        "no_metadata": 1,
        "non_positive_revenue": 4,
        "duplicate": 3,
        "not_in_catalogue": 0,
    }
    reasons = list(report["rows"])[2:]
    assert report["rows"]["read"] == report["rows"]["kept"] + sum(report["rows"][reason] for reason in reasons)
    found = {name: [split[key] for key in report["rows"]] for name, split in report["splits"].items()}
    assert found == {
        "train": [15, 8, 1, 1, 2, 3, 0],
        "validation": [5, 4, 1, 0, 0, 0, 0],
        "test": [6, 4, 0, 0, 2, 0, 0],
        "unplaced": [1, 0, 1, 0, 0, 0, 0],
    }
    assert [report["splits"]["test"][f"{end}_timestamp"] for end in ("first", "last")] == [START + 6, START + 8]


def test_features_and_what_training_has_not_seen(report: dict[str, Any]) -> None:
    found = {name: (feature["nulls"], feature["distinct"]) for name, feature in report["features"].items()}
    assert found == {
        "cust_person_id": (0, 4),
        "product_id": (0, 4),
        # Before the purchase: a 0 to 3, then 4; b 0, 2, 4, 6; c and d bought nothing in training.
        "revenue": (0, 6),
        "city": (4, 1),
        "timestamp": (0, 9),
        "art_name": (0, 4),
        "stratbuy_domain_desc": (0, 3),
        "mge_main_cat_desc": (0, 1),
        "tags": (0, 2),
    }
    assert report["unseen"] == {
        "validation": {
            "customers": {"distinct": 2, "unseen": 1, "rows_of_unseen": 2},
            "products": {"distinct": 2, "unseen": 1, "rows_of_unseen": 2},
        },
        "test": {
            "customers": {"distinct": 3, "unseen": 2, "rows_of_unseen": 3},
            "products": {"distinct": 3, "unseen": 1, "rows_of_unseen": 2},
        },
    }


def test_products_outside_the_catalogue(tmp_path: Path) -> None:
    rows = run(write_log(tmp_path, GOOD, PRODUCTS), tmp_path / "out", min_purchases=3, train_share=0.4)["rows"]
    # With products 1 and 2 alone the test begins at second 3; before it each of them was bought three times.
    assert (rows["read"], rows["kept"], rows["not_in_catalogue"]) == (16, 12, 4)


def test_rows_without_customer_have_no_place_in_a_random_split(tmp_path: Path) -> None:
    log = write_log(tmp_path, [*GOOD, (None, 1, 1.0, 2)], PRODUCTS)
    report = run(log, tmp_path / "out", split="random", train_share=0.4, validation_share=0.3)
    assert report["splits"]["unplaced"]["null_id"] == 1


def test_all_findings_above_their_thresholds_are_named(tmp_path: Path) -> None:
    log = write_log(tmp_path, [*GOOD, *BAD], PRODUCTS)
    limits = "{null_id: 0.12, no_metadata: 0.05, non_positive_revenue: 0.16, nulls: 0.2, unseen_customers: 0.6}"
    with pytest.raises(InputError) as raised:
        run(log, tmp_path / "out", thresholds=limits)
    text = str(raised.value)
    assert "3 of 24 rows dropped as null_id (null_id), such as cust_person_id NULL, product_id 1" in text
    assert "4 of 24 rows dropped as non_positive_revenue" in text
    assert "4 of 16 rows without city (nulls)" in text
    assert "2 of 3 customers in test that training has not seen (unseen_customers)" in text
    assert "no_metadata" not in text  # 1 of 24 is below
    assert "expected null_id of at most 0.12, non_positive_revenue of at most 0.16, nulls of at most 0.2" in text
    assert not (tmp_path / "out").exists()


def test_a_log_loaded_twice_stops_by_default(tmp_path: Path) -> None:
    log = write_log(tmp_path, GOOD * 2, PRODUCTS)
    with pytest.raises(InputError, match=r"16 of 32 rows dropped as duplicate \(duplicate\), such as cust_person_id a"):
        run(log, tmp_path / "out")


def test_a_product_table_of_another_shop_is_named_as_the_reason(tmp_path: Path) -> None:
    log = write_log(tmp_path, GOOD, {99: ("other", "other")})
    with pytest.raises(InputError, match="16 of 16 rows dropped as no_metadata"):
        run(log, tmp_path / "out")


def test_drift(before: str, tmp_path: Path) -> None:
    changed = [(c, 5 if p == 2 else p, None if r is None else r * 10, s) for c, p, r, s in GOOD]
    products = {**PRODUCTS, 5: ("shampoo", "hair")}
    after = write_log(tmp_path, changed, products)
    patient = "{psi_revenue: 100, psi_categories: 100}"
    found = run(after, tmp_path / "after", previous_metadata=before, thresholds=patient)["drift"]

    assert found["products"] == {
        "new": 1,
        "vanished": 1,
        "new_share": 0.25,
        "vanished_share": 0.25,
        "new_examples": ["5 shampoo"],
        "vanished_examples": ["2 soap"],
    }
    assert (found["categories"]["new_examples"], found["categories"]["vanished_examples"]) == (["hair"], ["care"])
    # Of 16 rows 9 are dairy, 5 care or hair, 2 drinks; an empty share counts as 0.0001.
    p, q = 5 / 16, 1e-4
    by_hand = (q - p) * np.log(q / p) + (p - q) * np.log(p / q)
    assert found["psi"]["categories"] == pytest.approx(by_hand)
    assert found["psi"]["revenue"] > 1  # every price is ten times higher

    with pytest.raises(InputError, match=r"population stability index \d+\.\d+ of revenue \(psi_revenue\)"):
        run(after, tmp_path / "stopped", previous_metadata=before)


def test_the_same_data_have_not_drifted(before: str, tmp_path: Path) -> None:
    log = write_log(tmp_path, GOOD, PRODUCTS)
    found = run(log, tmp_path / "after", previous_metadata=before)["drift"]
    assert found["psi"] == {"revenue": 0.0, "categories": 0.0}
    assert (found["products"]["new"], found["products"]["vanished"]) == (0, 0)


def test_a_previous_run_without_a_profile(before: str, tmp_path: Path) -> None:
    log = write_log(tmp_path, GOOD, PRODUCTS)
    metadata = json.loads(Path(before).read_text())
    del metadata["profile"]
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(metadata))
    with pytest.raises(InputError, match=r"metadata\.json, field profile: found no profile"):
        run(log, tmp_path / "after", previous_metadata=str(path))


def test_population_stability_against_its_definition() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.integers(1, 100, 10), rng.integers(1, 100, 10)
    expected = 0.0
    for b, a in zip(before, after, strict=True):
        p, q = b / before.sum(), a / after.sum()
        expected += (q - p) * np.log(q / p)
    assert drift.population_stability(before, after) == pytest.approx(expected)


@pytest.mark.parametrize("after", [{"-30": 5}, {"40": 5}])
def test_a_price_outside_all_earlier_ones_is_drift(after: dict[str, int]) -> None:
    profile: dict[str, Any] = {"categories": {"a": 5}}
    previous: dict[str, Any] = {"products": {"1": {"art_name": "x"}}, "profile": {**profile, "revenue_bins": {"20": 5}}}
    found = drift.compare(previous, previous["products"], {**profile, "revenue_bins": after})
    # All rows moved from one bin to another; an empty share counts as 0.0001.
    assert found["psi"]["revenue"] == pytest.approx(2 * (1 - 1e-4) * np.log(1e4))
    assert found["psi"]["categories"] == 0


def test_the_page_escapes_what_the_data_say(before: str, tmp_path: Path) -> None:
    products = {**PRODUCTS, 3: ("cheese", "dairy"), 6: ("<script>alert(1)</script>", "a & b")}
    changed = [(c, 6 if p == 4 else p, r, s) for c, p, r, s in GOOD]
    log = write_log(tmp_path, changed, products)
    arguments = {"previous_metadata": before, "thresholds": "{psi_categories: 9}"}
    run(log, tmp_path / "out", **arguments)
    page = (tmp_path / "out" / data_report.PAGE).read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "a &amp; b" in page
    assert "http" not in page.replace("http-equiv", "")
    for split in schema.SPLITS:
        assert split in page

"""The report: what it says, that it stands alone, and that nothing from data gets into its markup."""

import functools
import re
import xml.etree.ElementTree
from typing import Any

import pytest

from components.evaluator import report
from components.evaluator.embedding_map import product_map
from tests.components.evaluator import sample_evaluation as sample
from tests.components.evaluator.pages import Page

pytestmark = pytest.mark.usefixtures("charts")

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
BASELINES = ("popularity", "popularity_by_city", "personal_frequency", "ease")


def render(evaluation: dict[str, Any] | None = None, **changes: Any) -> str:
    return report.render(evaluation or sample.evaluation(), sample.exhibits()._replace(**changes))


@functools.cache
def usual() -> Page:
    """The page of the sample, taken apart; to be read only."""
    return Page(render())


def hostile(place: str) -> str:
    """A name that would break out of text, of attributes and of comments, and tells where it was put."""
    return f"<script>{place}</script>\"'&--><img src=x onerror=x> Ж東"


@pytest.mark.parametrize(("promote", "verdict"), [(True, "Promote"), (False, "Do not promote")])
def test_the_verdict_comes_first_with_every_reason(promote: bool, verdict: str) -> None:
    evaluation = sample.evaluation(promote)
    page = Page(render(evaluation))
    headings = [tag.text for tag in page.tags if tag.name in ("h1", "h2")]
    assert headings[0] == verdict
    assert page.all("title")[0].text == f"{verdict}: evaluation of model 1d73a3c9d9db"
    expected = [f"{'✓ Passed' if r['passed'] else '✗ Failed'}: {r['text']}" for r in evaluation["verdict"]["reasons"]]
    (reasons,) = page.all("ul", "reasons")
    assert reasons.text == " ".join(expected)


def test_a_baseline_that_wins_is_named() -> None:
    figures = usual().section("figures")
    assert figures is not None
    assert (
        "At Recall@10 a baseline wins: Personal frequency beats this model by 0.033 (+0.029 to +0.037)." in figures.text
    )
    assert (
        "At Recall@100 a baseline wins: Personal frequency beats this model by 0.080 (+0.074 to +0.086)."
        in figures.text
    )
    highest = "Recall@5, Recall@10, Recall@50, Recall@100, NDCG@10, MRR, basket Recall@10 and basket NDCG@10"
    assert f"Personal frequency has the highest {highest}." in figures.text


@pytest.mark.parametrize(
    ("value", "half", "said"),
    [
        (0.012, 0.004, "this model beats the best baseline, EASE, by 0.012 (+0.008 to +0.016)."),
        (
            0.002,
            0.004,
            f"this model is ahead of the best baseline, EASE, by 0.002 ({MINUS}0.002 to +0.006), which chance",
        ),
        (
            -0.002,
            0.004,
            f"a baseline, EASE, is ahead of this model by 0.002 ({MINUS}0.002 to +0.006), which chance may explain.",
        ),
        (-0.012, 0.004, "a baseline wins: EASE beats this model by 0.012 (+0.008 to +0.016)."),
    ],
)
def test_what_is_said_of_a_difference(value: float, half: float, said: str) -> None:
    evaluation = sample.evaluation() | {"lift": {"recall_10": sample.lift("ease", value, half)}}
    assert f"At Recall@10 {said}" in render(evaluation)


def test_what_is_said_of_slices() -> None:
    """Of the slices that are large enough: better where nothing was bought before, worse in the ten named."""
    slices = usual().section("slices")
    assert slices is not None
    assert (
        "Recall@10, in the slices that are large enough to lean on: this model is clearly better than the best "
        "baseline in 1 of 17 and clearly worse in 10; chance may explain the difference in 6. "
        "Personal frequency wins in: bought before "
        "by 0.084, least bought half by 0.068, Zürich by 0.040, many purchases in training by 0.036, in the catalogue "
        "by 0.033, Grocery by 0.025, Produce by 0.023, Meat by 0.021 and 2 more."
    ) in slices.text


def test_slices_that_are_small_or_empty_are_marked() -> None:
    page = usual()
    names = [tag.text[:15] for tag in page.all("tr", "small-slice")]
    assert names == ["not in training", "first sold afte", "Łódź fewer than"]
    small = [tag for tag in page.all("tr") if "too small to lean on" in tag.text]
    assert [tag.text[:15] for tag in small] == ["not in training", "Łódź fewer than"]
    assert "no purchases no purchases" in next(tag.text for tag in page.all("tr") if tag.text.startswith("first sold"))
    lost = [tag for tag in page.all("td", "worse") if "a baseline wins" in tag.text]
    assert len(lost) == 2 * 11  # ten slices and all purchases, by two metrics


def test_the_headline_table_has_every_figure_with_its_interval() -> None:
    page = usual()
    table = page.all("table", "figures")[0].text
    for scorer in sample.SCORERS:
        for found in list(sample.evaluation()["metrics"][scorer].values())[:8]:
            assert f"{found['value']:.3f} {found['low']:.3f}{DASH}{found['high']:.3f}" in table
    highest = [found[4] for found in list(sample.FIGURES.values())[:8]]
    assert [tag.text for tag in page.all("b")[:8]] == [f"{value:.3f}" for value in highest]


def test_without_a_champion() -> None:
    assert "77ab01c2de34" in render()
    shown = sample.exhibits()
    curves = {scorer: curve for scorer, curve in shown.curves.items() if scorer != "champion"}
    coverage = {scorer: shares for scorer, shares in shown.coverage.items() if scorer != "champion"}
    page = render(sample.without(sample.evaluation(), "champion"), curves=curves, coverage=coverage)
    assert "Champion" not in page
    assert "champion" not in Page(page).all("dl", "terms")[0].text


def test_absent_baselines() -> None:
    evaluation = sample.without(sample.evaluation(), "personal_frequency", "popularity_by_city")
    evaluation["baselines_left_out"] = {"ease": "The catalogue has more than 20 000 products."}
    page = Page(render(evaluation))
    assert "Popularity by city" not in page.all("table", "figures")[0].text
    assert "Personal frequency" not in page.all("table", "slices")[0].text
    assert "EASE is left out: The catalogue has more than 20 000 products." in page.all("main")[0].text


def test_no_baseline_at_all() -> None:
    evaluation = sample.without(sample.evaluation(), "champion", *BASELINES)
    assert evaluation["lift"] == {}
    page = Page(render(evaluation))
    assert "baseline wins" not in page.all("main")[0].text
    first = page.all("table", "slices")[0].text.split("All purchases ")[1]
    assert first.startswith(f"30 758 100.0% 0.205 0.200{DASH}0.210 0.507 0.502{DASH}0.512")


def test_a_metric_that_a_scorer_lacks() -> None:
    evaluation = sample.evaluation()
    del evaluation["metrics"]["ease"]["mrr"]
    assert f"0.137 0.132{DASH}0.142 not measured 0.239" in Page(render(evaluation)).all("table", "figures")[0].text


def test_sections_without_anything_to_show_are_left_out() -> None:
    bare = Page(render(products=None, customers=[], curves={}, coverage={}, shown={}, model_metadata={}))
    sections = [tag.attributes["id"] for tag in bare.all("section")]
    assert sections == ["figures", "slices", "variety", "data", "versions"]
    assert not [tag for tag in bare.tags if tag.attributes.get("role") == "img"]
    full = Page(render(model_metadata=sample.model_metadata() | {"metadata_impact": sample.metadata_impact()}))
    ids = [tag.attributes["id"] for tag in full.all("section")]
    order = "figures recall slices training impact variety products customers data settings versions"
    assert ids == order.split()
    for page, there in ((bare, set(sections)), (full, set(ids) - {"recall"})):
        assert {tag.attributes["href"].removeprefix("#") for tag in page.all("a")} == there


def test_what_product_metadata_are_worth() -> None:
    impact = sample.model_metadata() | {"metadata_impact": sample.metadata_impact()}
    section = Page(render(model_metadata=impact)).section("impact")
    assert section is not None
    assert "with and without stratbuy_domain_desc, mge_main_cat_desc, on the test split; 2 seeds each" in section.text
    assert "With them, Recall@10 is higher by 0.012 (+0.008 to +0.016)." in section.text
    assert (
        f"With them, Recall@100 is lower by 0.002 ({MINUS}0.003 to +0.007), which chance may explain." in section.text
    )


def test_plots_are_told_in_words() -> None:
    page = usual()
    alts = [tag.attributes["aria-label"] for tag in page.tags if tag.attributes.get("role") == "img"]
    assert alts[0] == (
        "Line chart of Recall@k for k from 1 to 100. At k = 100: This model 0.507; Champion 0.497; Popularity 0.351; "
        "Popularity by city 0.349; Personal frequency 0.587; EASE 0.579."
    )
    assert alts[1].endswith("in 58 epochs; chance is 7.313.")
    assert alts[2].startswith("Line chart of Recall on the validation split over 58 epochs: Recall@100 at best 0.5")
    assert "In the most and the least bought tenth: This model 100.0% and 38.0%; Champion 100.0% and 35.0%" in alts[3]
    assert alts[4].endswith("Purchases 35.0% and 3.0%.")
    assert alts[5].startswith("Map of 60 products in the plane. The two axes hold ")
    assert len(alts) == 6


def test_a_catalogue_of_a_few_products() -> None:
    few = {"model": [1.0, 0.5, 0.0]}
    page = render(coverage=few, shown=few, curves={"model": [0.4]}, products=None)
    assert "In the most and the least bought group: This model 100.0% and 0.0%." in page
    assert "for k from 1 to 1. At k = 1: This model 0.400." in page


def test_twelve_customers() -> None:
    section = usual().section("customers")
    assert section is not None
    assert section.text.startswith("12 customers From light to heavy buyers")
    page = usual()
    cards = page.all("article")
    assert len(cards) == 12
    # The first customer bought 14 products, of which the page lists ten and the one that had been recommended.
    assert cards[0].text.startswith("Customer 1000 20 purchases in training; 1 of 10 recommendations bought")
    assert cards[0].text.count("✓") == 2
    assert cards[0].text.endswith("and 3 other products")


def test_names_from_data_stay_text() -> None:
    evaluation = sample.evaluation()
    evaluation["model_version"] = hostile("version")
    evaluation["champion"]["model_version"] = hostile("champion")
    evaluation["verdict"]["reasons"][0]["text"] = hostile("reason")
    evaluation["slices"][0]["label"] = hostile("slice")
    for part in evaluation["slices"][:2]:
        part["group_label"] = hostile("group")
    evaluation["baselines_left_out"] = {"another": hostile("left out")}
    lookup = {
        "1": {"art_name": hostile("product"), "stratbuy_domain_desc": hostile("category")},
        "2": {},
        hostile("id"): {},
    }
    item = {"name": hostile("item"), "count": 2, "hit": True}
    card = {"customer": hostile("customer"), "training_purchases": 3, "hits": 1}
    model_metadata = sample.model_metadata() | {
        "metadata_impact": sample.metadata_impact() | {"removed": [hostile("removed")]},
        "hyperparameters": {hostile("setting"): hostile("value")},
    }
    model_metadata["feature_config"]["query"]["features"].append({"kind": "text", "name": hostile("feature")})
    text = render(
        evaluation,
        products=product_map(sample.embeddings(3), list(lookup), lookup),
        customers=[card | {"history": [item], "recommended": [item], "bought": [item]}],
        versions={hostile("package"): hostile("release")},
        model_metadata=model_metadata,
    )
    places = (
        "version champion reason slice group|left out|product category id item customer removed setting value feature"
    )
    for place in (*places.replace("|left out|", " ").split(), "left out", "package", "release"):
        assert f"&lt;script&gt;{place}&lt;/script&gt;" in text, place
    assert "Ж東" in text
    page = Page(text)  # its tags are as well nested as ever
    assert not {"script", "img"} & {tag.name for tag in page.tags}
    assert not [key for tag in page.tags for key in tag.attributes if key.startswith("on")]


def test_drawings_are_well_formed_and_ids_are_distinct() -> None:
    lookup = {"1": {"art_name": "a\x00b\x0b<&>"}, "2": {}, "3": {}}
    page = render(products=product_map(sample.embeddings(3), list(lookup), lookup))
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) > 6
    for drawing in drawings:
        xml.etree.ElementTree.fromstring(drawing)  # noqa: S314  our own
    ids = [tag.attributes["id"] for tag in Page(page).tags if "id" in tag.attributes]
    assert len(ids) == len(set(ids))


def test_the_page_needs_nothing_from_elsewhere() -> None:
    text = render()
    page = Page(text)
    links = [
        value for tag in page.tags for key, value in tag.attributes.items() if key in ("src", "href", "xlink:href")
    ]
    ids = {tag.attributes["id"] for tag in page.tags if "id" in tag.attributes}
    assert {link.removeprefix("#") for link in links} <= ids
    assert all(link.startswith("#") for link in links)
    assert not re.search(r"url\(|@import|https?:", text)
    assert not {"script", "link", "iframe", "object", "img", "base"} & {tag.name for tag in page.tags}


def test_a_page_of_a_full_map_stays_small() -> None:
    lookup = {str(i): {"art_name": "Молоко " * 20, "stratbuy_domain_desc": f"c{i % 9}"} for i in range(4000)}
    products = product_map(sample.embeddings(4000), list(lookup), lookup)
    page = render(products=products)
    assert page.count('<use href="#product"') == 1500
    assert len(page.encode()) < 400_000


def test_equal_input_gives_an_equal_page(charts: dict[str, Any]) -> None:
    page = render()
    charts.clear()
    assert page == render()

import numpy as np
import pytest

from components.evaluator import embedding_map
from components.evaluator.embedding_map import OTHERS, product_map
from components.evaluator.plots import products as plot


def lookup(categories: list[str]) -> dict[str, dict[str, str]]:
    return {str(i): {"art_name": f"name {i}", "stratbuy_domain_desc": name} for i, name in enumerate(categories)}


def mapped(embeddings: np.ndarray, categories: list[str] | None = None) -> embedding_map.ProductMap:
    found = product_map(
        embeddings.astype(np.float32),
        [str(i) for i in range(len(embeddings))],
        lookup(categories or ["x"] * len(embeddings)),
    )
    assert found is not None
    return found


def test_axes_against_the_eigenvectors_of_the_covariance() -> None:
    embeddings = np.random.default_rng(1).normal(size=(200, 6)) @ np.diag([5, 1, 3, 0.5, 0.2, 0.1])
    found = mapped(embeddings)
    values, vectors = np.linalg.eigh(np.cov(embeddings.astype(np.float32).T.astype(np.float64)))
    order = np.argsort(-values)[:2]
    assert found.variance == pytest.approx(tuple(values[order] / values.sum()))
    expected = (embeddings - embeddings.mean(axis=0)) @ vectors[:, order]
    signs = np.sign((expected * found.points).sum(axis=0))
    np.testing.assert_allclose(found.points, expected * signs, atol=1e-5)


def test_an_axis_points_to_where_its_largest_part_is_positive() -> None:
    """On the line (1, -3) t the second coordinate decides: greater t is further left."""
    t = np.array([0.0, 1.0, 2.0])
    found = mapped(np.outer(t, [1.0, -3.0]))
    np.testing.assert_allclose(found.points[:, 0], (1 - t) * np.sqrt(10), atol=1e-6)
    np.testing.assert_allclose(found.points[:, 1], 0, atol=1e-6)
    assert found.variance == pytest.approx((1, 0))
    for direction in np.random.default_rng(4).normal(size=(20, 5)):
        sign = np.sign(direction[np.abs(direction).argmax()])
        expected = (t - 1) * np.linalg.norm(direction) * sign
        np.testing.assert_allclose(mapped(np.outer(t, direction)).points[:, 0], expected, atol=1e-5)


def test_embeddings_one_wide() -> None:
    assert mapped(np.array([[1.0], [3.0]])).points.tolist() == [[-1, 0], [1, 0]]


@pytest.mark.parametrize("embeddings", [np.ones((5, 3)), np.full((5, 3), 0.1), np.zeros((1, 2))])
def test_products_in_one_place_have_no_map(embeddings: np.ndarray) -> None:
    assert product_map(embeddings.astype(np.float32), [str(i) for i in range(len(embeddings))], {}) is None


def test_the_most_frequent_categories_get_colours() -> None:
    categories = ["a"] * 2 + ["b"] * 9 + ["c"] * 3 + ["d"] * 4 + ["e"] * 5 + ["f"] * 6 + ["g"] * 7 + [""] * 20
    found = mapped(np.random.default_rng(2).normal(size=(56, 3)), categories)
    assert found.categories == [("b", 9), ("g", 7), ("f", 6), ("e", 5), ("d", 4), ("c", 3)]
    names = [name for name, _ in found.categories]
    expected = [names.index(name) if name in names else OTHERS for name in categories]
    assert found.category.tolist() == expected
    keys = plot.draw(found).keys
    assert [(key.label, key.note) for key in keys[-2:]] == [("c", "3"), ("other categories", "22")]


def test_at_most_1500_products_are_drawn_the_ends_among_them() -> None:
    found = mapped(np.random.default_rng(3).normal(size=(3100, 4)))
    assert (len(found.points), len(found.names), len(found.category)) == (1500, 1500, 1500)
    assert (found.names[0], found.names[-1]) == ("name 0", "name 3099")
    assert len(set(found.names)) == 1500
    assert "1\N{NARROW NO-BREAK SPACE}500 of 3\N{NARROW NO-BREAK SPACE}100 products are drawn." in plot.caption(found)


def test_neighbours_by_hand() -> None:
    """On a line at 0, 1, 3, 7, 8: neighbours are 1, 0, 1, 8, 7. Of pairs, 1 of aa, 3 of bb: 4 of 10."""
    found = mapped(np.array([[0.0], [1.0], [3.0], [7.0], [8.0]]), ["a", "a", "b", "b", "b"])
    assert found.neighbours == pytest.approx(4 / 5)
    assert found.by_chance == pytest.approx(4 / 10)
    assert mapped(np.array([[0.0], [1.0]]), ["", "a"]).neighbours is None


def test_the_map_keeps_distances() -> None:
    """A square of side 2 is a square in the drawing, as high as the plane allows."""
    found = mapped(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0], [1.0, 1.0]]))
    drawn = plot.draw(found).svg
    x, y = ([float(part.split('"')[0]) for part in drawn.split(f' {axis}="')[1:]] for axis in "xy")
    centre = (plot.WIDTH / 2, plot.HEIGHT / 2)
    distances = sorted(np.hypot(np.array(x) - centre[0], np.array(y) - centre[1]))
    assert distances[0] == pytest.approx(0, abs=0.01)
    assert distances[1] == pytest.approx(distances[4], abs=0.05)
    assert max(y) - min(y) <= plot.HEIGHT - 2 * plot.EDGE + 0.01


def test_long_names_and_control_characters() -> None:
    assert plot.short("a\x00b\nc") == "a b c"
    assert plot.short("x" * 40) == "x" * 40
    assert plot.short("x" * 41) == "x" * 39 + "…"

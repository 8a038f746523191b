"""Warm start: a model begins with an earlier model's weights, whatever became of vocabularies, products and features.

Rows of a token table are carried over by token. A new token starts at the mean of the carried rows: a product at that
of its category, where some are carried, everything else at that of the whole table. Not at row 0, the unknown token's:
vocabularies hold every token of the training rows, so that only a refit trains row 0, for customers who came in
validation. A normalized number keeps its weights although mean and variance move: what is carried is knowledge of a
place in the distribution, not of an amount.
"""

import os
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from components.common import outputs, saved_models, schema, staging, storage
from components.common.errors import InputError
from components.common.model_metadata import expect_files
from components.common.saved_models import METADATA
from trainer_image.model import TwoTower
from trainer_image.weights import FILE, Feature, Side, read, sides, variables


class Table(NamedTuple):
    """What became of one embedding table, in rows; the unknown token's row, always carried, is not counted.

    Attributes:
        tower: "query" or "candidate".
        feature: Its key.
        carried: Rows that go on as they were.
        new: Rows that the earlier model lacks.
        dropped: Rows that only the earlier model has.
        by_category: As many of the new rows start at the mean of their category.
        fresh: Why the new rows start at random; "" where they start at a mean.
    """

    tower: str
    feature: str
    carried: int = 0
    new: int = 0
    dropped: int = 0
    by_category: int = 0
    fresh: str = ""


class Carried(NamedTuple):
    """What a warm start took over.

    Attributes:
        path: The earlier model.
        tables: One for each table of either model.
        fresh_inputs: {tower: features whose rows of the first Dense kernel start at random}; all other weights of the
            Dense layers are carried.
        is_refitted: The earlier model has learned from its validation split too.
    """

    path: str
    tables: list[Table]
    fresh_inputs: dict[str, list[str]]
    is_refitted: bool


def apply(path: str, model: TwoTower, products: Mapping[str, Mapping[str, Any]]) -> Carried:
    """Carries the weights of an earlier model over into a new one, under any strategy.

    Args:
        path: The earlier model/, local or gs://, or a folder of several, of which the latest is taken.
        model: The model to start; it keeps its values where there is nothing to carry.
        products: The product lookup of metadata.json, for the categories.

    Raises:
        InputError: no weights.npz, a damaged one or another version's; other embedding dims, other layers. The model
            is left as it was.
    """
    path = outputs.resolved(path)
    file = storage.join(path, FILE)
    earlier, weights = read(file)
    now = sides(model)
    for tower, side in now.items():
        _expect_same_widths(f"{file}, {tower} tower", earlier[tower], side)
    values = {name: np.array(variable.numpy()) for name, variable in variables(model).items()}
    category_of = {product: str(about.get(schema.CATEGORY) or "") for product, about in products.items()}
    document = storage.join(path, METADATA)
    is_refitted = storage.exists(document) and "refit" in _described(path)
    carried = Carried(path, [], {}, is_refitted)
    for tower, side in now.items():
        before = earlier[tower]
        common = [key for key, feature in side.features.items() if _same(feature, before.features.get(key))]
        for key, feature in side.features.items():
            if feature.rows:
                old = before.features[key] if key in common else None
                name = f"{tower}_{key}/table"
                groups = category_of if key == schema.PRODUCT else {}
                outcome = _carry_table(feature, old, values[name], weights.get(name), groups)
                carried.tables.append(Table(tower, key, *outcome))
        gone = [key for key, old in before.features.items() if old.rows and key not in common]
        carried.tables.extend(Table(tower, key, dropped=before.features[key].size) for key in gone)
        first = f"{tower}_dense_0/kernel"
        weights[first] = _first_kernel(side, before, common, values[first], weights[first])
        carried.fresh_inputs[tower] = [key for key in side.features if key not in common]
    values |= {name: weights[name] for name in values if name in weights and not name.endswith("/table")}
    for name, variable in variables(model).items():
        variable.assign(values[name])
    return carried


def _described(path: str) -> dict[str, Any]:
    """The earlier model's model_metadata.json; refuses one that goes with other weights."""
    metadata = saved_models.read_metadata(path)
    if FILE in metadata.get("files", {}):
        with staging.staged(storage.join(path, FILE)) as file:
            folder = os.path.dirname(file)
            expect_files(folder, {"files": {FILE: metadata["files"][FILE]}})
    return metadata


def describe(carried: Carried) -> str:
    """A line for each table, and one for the Dense layers of each tower."""
    width = max((len(table.feature) for table in carried.tables), default=0)
    lines = [f"warm start from {carried.path}"]
    if carried.is_refitted:
        lines.append(
            "  warning: it has learned from its validation split too (--refit); where that overlaps with this one's, "
            "validation Recall is too high"
        )
    for table in carried.tables:
        others = table.new - table.by_category
        starts = [f"{table.by_category:,} at the mean of their category"] if table.by_category else []
        if others:
            starts.append(f"{others:,} at random: {table.fresh}" if table.fresh else f"{others:,} at the mean of all")
        new = f"{table.new:,} new ({', '.join(starts)})" if starts else "0 new"
        counts = f"{table.carried:,} carried, {new}, {table.dropped:,} dropped"
        lines.append(f"  {table.tower:<9}  {table.feature:<{width}}  {counts}")
    for tower, fresh in carried.fresh_inputs.items():
        but = f", but the weights of {', '.join(fresh)} at random" if fresh else ""
        lines.append(f"  {tower:<9}  {'Dense layers':<{width}}  carried{but}")
    return "\n".join(lines)


def _same(feature: Feature, old: Feature | None) -> bool:
    """Whether two features mean the same to the Dense layers, even where their rows differ."""
    if old is None or feature.kind != old.kind:
        return False
    return feature.kind != "periods" or feature.values == old.values


def _expect_same_widths(where: str, before: Side, now: Side) -> None:
    remedy = "Write the same into the feature config, or train without --warm-start-from."
    for key, feature in now.features.items():
        old = before.features.get(key)
        if old and _same(feature, old) and feature.width != old.width:
            raise InputError(f"{where}, feature {key}", f"dim {old.width}", f"dim {feature.width}", remedy)
    if before.layers != now.layers:
        raise InputError(f"{where}, layers", str(before.layers), str(now.layers), remedy)


def _carry_table(
    feature: Feature, old: Feature | None, values: np.ndarray, table: np.ndarray | None, category_of: Mapping[str, str]
) -> tuple[int, int, int, int, str]:
    """Writes what can be carried of `table` into `values`; returns the counts of `Table`."""
    if old is None or table is None:
        return 0, feature.size, 0, 0, "the earlier model has no such feature"
    if feature.kind == "tokens":
        return _carry_tokens(feature.values, old.values, values, table, category_of)
    if feature.values != old.values:
        return 0, feature.size, old.size, 0, f"other {feature.kind}"
    values[:] = table
    return feature.size, 0, 0, 0, ""


def _carry_tokens(
    tokens: list[str], earlier: list[str], values: np.ndarray, table: np.ndarray, category_of: Mapping[str, str]
) -> tuple[int, int, int, int, str]:
    row_of = {token: row for row, token in enumerate(earlier, 1)}
    origin = np.array([row_of.get(token, 0) for token in tokens], np.int64)  # 0: a new token
    kept = origin > 0
    carried, new = int(kept.sum()), int((~kept).sum())
    values[0] = table[0]
    if not carried:
        return 0, new, len(earlier), 0, "no token in common"
    values[1:][kept] = table[origin[kept]]
    values[1:][~kept] = table[origin[kept]].mean(axis=0, dtype=np.float64)
    by_category = 0
    places: dict[str, list[int]] = {}
    for place, token in enumerate(tokens):
        if category_of.get(token):
            places.setdefault(category_of[token], []).append(place)
    for members in map(np.array, places.values()):
        old, fresh = origin[members[kept[members]]], members[~kept[members]]
        if len(old):
            values[1:][fresh] = table[old].mean(axis=0, dtype=np.float64)
            by_category += len(fresh)
    return carried, new, len(earlier) - carried, by_category, ""


def _first_kernel(now: Side, before: Side, common: list[str], fresh: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The first Dense kernel, [inputs, width]: the rows of the features that both models have are carried."""
    values, places, old_places = fresh.copy(), _places(now), _places(before)
    for key in common:
        values[places[key]] = kernel[old_places[key]]
    return values


def _places(side: Side) -> dict[str, slice]:
    """Where each feature is in the concatenation."""
    ends = accumulate((feature.width for feature in side.features.values()), initial=0)
    return {key: slice(*place) for key, place in zip(side.features, pairwise(ends), strict=True)}

"""Evaluator: exact Recall@k of a trained model over the whole catalogue, beside baselines on the same rows."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from components.common import examples as shards
from components.common import saved_models, schema, staging, storage
from components.common.errors import InputError
from components.common.ranking import NOT_IN_CATALOGUE, count_better, embedding_scores
from components.common.vocabularies import purchases_of, read_vocabularies, require
from components.evaluator import baselines, customers, data, metrics, report
from components.evaluator.metrics import Ranks

EVALUATION, REPORT = "evaluation.json", "report.html"
FORMAT_VERSION = 1
CURVE_TO = 100


def evaluate(
    *,
    model: str,
    examples: str,
    vocabularies: str,
    output_path: str,
    ks: tuple[int, ...] = (5, 10, 50, 100),
    split: Literal["validation", "test"] = "test",
) -> dict[str, Any]:
    """Measures a model on one split and writes evaluation.json and report.html.

    Args:
        model: model/ of the Trainer, local or gs://.
        examples: examples/ of the DataExtractor.
        vocabularies: vocabularies.json of the VocabBuilder.
        output_path: Where the folder evaluation/ goes.
        ks: Cut-offs of Recall@k.
        split: The rows to rank.

    Returns:
        evaluation.json as a dict.

    Raises:
        InputError: for anything in the inputs that the user can put right; nothing is written.
    """
    started = time.monotonic()
    storage.refuse_overwrite(output_path)
    features = read_vocabularies(vocabularies)
    with contextlib.ExitStack() as stack:
        model, examples = (stack.enter_context(staging.staged(path)) for path in (model, examples))
        metadata_path = storage.join(examples, schema.METADATA)
        metadata, model_metadata = schema.read_metadata(metadata_path), saved_models.read_metadata(model)
        catalogue = model_metadata["catalogue"]
        ks = _checked(ks, len(catalogue))
        query_model = saved_models.SavedModel(model, saved_models.QUERY_MODEL)
        candidate_model = saved_models.SavedModel(model, saved_models.CANDIDATE_MODEL)
        products = saved_models.product_columns(catalogue, metadata["products"], candidate_model.columns, metadata_path)
        rows = data.read(shards.shards(storage.join(examples, split)), query_model.columns, products[schema.PRODUCT])
        scores = embedding_scores(
            query_model.embed(rows.queries, schema.CUSTOMER),
            candidate_model.embed(products, schema.PRODUCT),
        )
        counts = purchases_of(features, vocabularies, catalogue)
        purchases = baselines.Purchases(
            shards.shards(storage.join(examples, "train")), rows.customers, products[schema.PRODUCT]
        )
    ranks = {
        "model": Ranks(*count_better(scores, rows.query, rows.target, candidates=len(catalogue))),
        "popularity": baselines.popularity(rows, counts),
        "personal_frequency": baselines.personal_frequency(rows, counts, purchases),
    }
    known = set(require(features, vocabularies, schema.CUSTOMER, "tokens"))
    unseen = np.array([customer.decode() not in known for customer in rows.customers])
    document = {
        "format_version": FORMAT_VERSION,
        "model_version": model_metadata["model_version"],
        "split": split,
        "rows": len(rows.target),
        "queries": int(rows.query.max()) + 1,
        "customers": len(rows.customers),
        "training_customers": len(known),
        "catalogue_size": len(catalogue),
        "unseen_products": _share(rows.target == NOT_IN_CATALOGUE),
        "unseen_customers": _share(unseen[rows.customer]),
        "recall": {scorer: metrics.recall(found, ks) for scorer, found in ranks.items()},
    }
    curve = range(1, min(CURVE_TO, len(catalogue)) + 1)
    curves = {scorer: list(metrics.recall(found, curve).values()) for scorer, found in ranks.items()}
    cards = customers.pick(rows, scores, purchases, catalogue, metadata["products"])
    document["timing"] = {"seconds": round(time.monotonic() - started, 3)}
    page = report.render(document, curves, cards, metadata, model_metadata)
    with storage.publish(output_path, EVALUATION) as work:
        with open(storage.join(work, REPORT), "w", encoding="utf-8") as file:
            file.write(page)
        storage.write_json(storage.join(work, EVALUATION), document)
    return document


def _checked(ks: Sequence[int], catalogue_size: int) -> tuple[int, ...]:
    """`ks`, distinct and ascending, each between 1 and the size of the catalogue."""
    bad = [k for k in ks if not 1 <= k <= catalogue_size]
    if bad or not ks:
        raise InputError(
            "--ks",
            f"k = {bad[0]}" if bad else "none",
            f"numbers from 1 to {catalogue_size}, the size of the catalogue",
            f"Choose another --ks, none above {catalogue_size}.",
        )
    return tuple(sorted(set(ks)))


def _share(rows: np.ndarray) -> dict[str, float]:
    return {"rows": int(rows.sum()), "share": float(rows.mean())}

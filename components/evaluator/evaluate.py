"""Evaluator: what a model recommends, measured exactly beside baselines and the champion, and the gate's verdict."""

import time
from collections.abc import Mapping
from typing import Any, Literal

from components.common import lineage, progress, storage
from components.common.claims import claiming
from components.common.evaluation import FILE as EVALUATION
from components.common.evaluation import FORMAT_VERSION
from components.evaluator import baselines, customers, embedding_map, exhibits, gate, inputs, report, scoring, slices
from components.evaluator.gate import Thresholds
from components.evaluator.inputs import Inputs
from components.evaluator.report import Exhibits
from components.evaluator.results import Results
from components.evaluator.scoring import Scored, Scorer

REPORT = "report.html"


@claiming
def evaluate(
    *,
    model: str,
    examples: str,
    vocabularies: str,
    output_path: str,
    champion: str = "",
    ks: tuple[int, ...] = (5, 10, 50, 100),
    split: Literal["validation", "test"] = "test",
    must_beat: Literal["popularity", "popularity_by_city", "personal_frequency", "ease", "best", "none"] = "popularity",
    margin: float = 0.01,
    slice_margin: float = 0.05,
    min_coverage: float = 0.01,
    floors: Mapping[str, float] | None = None,
    mix: bool = False,
    metadata_path: str = "",
) -> dict[str, Any]:
    """Measures a model on one split, decides whether it may be promoted, and writes evaluation.json and report.html.

    Args:
        model: model/ of the Trainer, local or gs://.
        examples: examples/ of the DataExtractor, or a folder or glob of shards that nobody split.
        vocabularies: vocabularies.json of the VocabBuilder, or {column: [tokens]}.
        output_path: Where the folder evaluation/ goes.
        champion: model/ of the model in production, which is scored on the same purchases; "" where there is none.
        ks: Cut-offs of Recall@k; the gate looks at the largest.
        split: The rows to rank.
        must_beat: The baseline that the model's Recall must clearly be above; best asks it of every one, none of none.
        margin: Recall may be this much below the champion's, at the lower end of the difference's 95% interval.
        slice_margin: In no slice may Recall clearly be further than this below the champion's.
        min_coverage: The least share of the catalogue that must be in at least one customer's first ten.
        floors: The least Recall in slices, by name: all, history.explore, customers.unseen, "category.Fresh food", …;
            evaluation.json lists them.
        mix: The model, or the vocabularies, may be of other examples than these: an old model on new data.
        metadata_path: metadata.json of the examples, as the Trainer was told it; by default the one in their folder or,
            of shards that nobody split, beside it.

    Returns:
        evaluation.json as a dict.

    Raises:
        InputError: for anything in the inputs that the user can put right; nothing is written.
    """
    started = time.monotonic()
    thresholds = Thresholds.checked(must_beat, margin, slice_margin, min_coverage, floors or {})
    found = inputs.read(model, champion, examples, vocabularies, split, ks, metadata_path, mix)
    parts = slices.cut(found, thresholds.floors)
    others, left_out = baselines.build(found)
    thresholds.expect_possible(parts, left_out)
    scored = _score(found, others, tuple(sorted(set(ks))))
    with progress.step("Resampling customers"):
        results = Results(scored, parts)
        document = {
            "format_version": FORMAT_VERSION,
            "model_version": found.models["model"].version,
            **found.made_from,
            "split": split,
            **found.facts(),
            "verdict": gate.verdict(results, thresholds),
            **results.document(),
            "baselines_left_out": left_out,
            "timing": {"seconds": round(time.monotonic() - started, 3)},
        }
    document = lineage.sealed(document)
    with progress.step("Writing the report"):
        page = report.render(document, _exhibits(found, scored))
    with storage.publish(output_path, EVALUATION) as work:
        storage.write_text(storage.join(work, REPORT), page)
        storage.write_json(storage.join(work, EVALUATION), document)
    return document


def _score(found: Inputs, others: dict[str, Scorer], ks: tuple[int, ...]) -> dict[str, Scored]:
    """What the models and the baselines do on the rows."""
    scored, taste = {}, found.taste
    for name, scorer in {**found.scorers, **others}.items():
        with progress.step(f"Ranking by {name.replace('_', ' ')}"):
            scored[name] = scoring.score(scorer, found.split, ks, taste)
    return scored


def _exhibits(found: Inputs, scored: dict[str, Scored]) -> Exhibits:
    """What the report shows beside the figures."""
    products, model = found.products, found.scorers["model"]
    return Exhibits(
        curves={name: exhibits.curve(did) for name, did in scored.items()},
        coverage={name: exhibits.coverage(did) for name, did in scored.items()},
        shown={
            "purchases": exhibits.purchases(found),
            **{name: exhibits.places(did) for name, did in scored.items()},
        },
        products=embedding_map.product_map(found.embedded["model"].candidates, found.catalogue, products),
        customers=customers.pick(found.split, model, found.history.by_customer, found.catalogue, products),
        metadata={"splits": found.metadata.splits, "products": products},
        model_metadata=found.models["model"].metadata,
        versions=exhibits.versions(),
    )

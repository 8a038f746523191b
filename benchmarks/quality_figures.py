"""What `make bench-quality` measures of one training: Recall as the Evaluator has it, and what that does not say."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import quality_fresh
from components.common import examples, saved_models, schema, storage
from components.common.queries import has_history
from components.common.ranking import NOT_IN_CATALOGUE, UNRANKED, count_better, recall
from components.evaluator import baselines, data, inputs, scoring
from components.evaluator.inputs import Inputs
from components.evaluator.scoring import Scored, Scorer, Scores

KS, EXPLORE_KS, NDCG_K = (5, 10, 50, 100), (10, 100), 10
HALF_LIFE = 30 * 86_400  # seconds after which a purchase counts half in the recent popularity
SHOPPING_LIST = "personal_frequency"
TRAINING = ("train",)
PAIRS = 256  # of a query and a customer, whose scores are held at a time

Figures = dict[str, dict[str, float]]


def trained(log: str, config: str, settings: dict[str, Any], per_basket: bool, folder: str) -> dict[str, Any]:
    """Trains once and measures the written model, and the baselines, on the test split.

    Args:
        log: Folder with examples/ and vocabularies.json.
        config: Path of the feature config.
        settings: Further options of the Trainer.
        per_basket: See `figures`.
        folder: For the model.
    """
    from benchmarks.train_ours import train_on

    model = storage.join(folder, "model")
    document = train_on(log, model, feature_config=config, **settings)
    artifacts = model, "", storage.join(log, "examples"), storage.join(log, "vocabularies.json")
    found = inputs.read(*artifacts, "test", KS)
    others, _ = baselines.build(found)
    measured = figures(found, others, recent_sales(log, found), per_basket)
    if found.known_splits == TRAINING:
        held_out = inputs.read(*artifacts, "validation", KS)
        rival = baselines.build(held_out)[0][SHOPPING_LIST]
        to_beat = recall(*count_better(rival.scores, rival.query, rival.target, candidates=len(rival.sold)), 10).mean()
        beaten = {
            f"seconds_to_beat_{SHOPPING_LIST}": seconds_to_beat(whole_curve(document["training"]), float(to_beat)),
            f"validation_recall_10_of_{SHOPPING_LIST}": float(to_beat),
        }
        is_in_time = found.metadata.method == "temporal"
        if has_history(found.models["model"].query) and is_in_time and not per_basket:
            for name, values in quality_fresh.figures(log, found, KS).items():
                measured.setdefault(name, {}).update(values)
    else:  # baselines that know more are others
        beaten, last = {}, found.known_splits[-1]
        measured = {name if name == "model" else f"{name}_through_{last}": of for name, of in measured.items()}
    return {
        "figures": measured,
        "explore_share": float(never_bought(found).mean()),
        "train_seconds": saved_models.training_seconds(document),
        **beaten,
        "best_epoch": document["metrics"]["best_epoch"],
        "epochs": len(document["training"]["curve"]),
    }


def figures(found: Inputs, others: dict[str, Scorer], recent: np.ndarray, per_basket: bool) -> Figures:
    """Recall of the model and the baselines, by scorer and metric.

    Args:
        found: The test split, and the model.
        others: The baselines.
        recent: From `recent_sales`.
        per_basket: Recall and NDCG of a basket, averaged over the baskets, instead of Recall of a row.

    Returns:
        {scorer: {metric: value}}; of what was never bought only where training is all that is known.
    """
    measured: Figures = {}
    for name, scorer in {**found.scorers, **others}.items():
        scored = scoring.score(scorer, found.split, KS, found.taste)
        measured[name] = next_basket(scored) if per_basket else by_row(scored)
    if found.known_splits != TRAINING:  # other products are new to a customer then
        return measured
    popular = others["popularity"]
    lately = popular._replace(scores=lambda _: recent[None, :])
    rows = np.flatnonzero(never_bought(found))
    for name, scorer in {"model": found.scorers["model"], "popularity": popular, "recent_popularity": lately}.items():
        ranks = explore_ranks(
            scorer.scores,
            lambda customers: found.history.by_customer.dense(customers) > 0,
            scorer.query[rows],
            found.split.customer[rows],
            scorer.target[rows],
        )
        measured.setdefault(name, {}).update(
            {f"explore_recall_{k}": float(recall(*ranks, k).mean()) for k in EXPLORE_KS}
        )
    return measured


def by_row(scored: Scored) -> dict[str, float]:
    """Recall as evaluation.json has it."""
    return {f"recall_{k}": value for k, value in zip(KS, scoring.recall_curve(scored, KS), strict=True)}


def next_basket(scored: Scored) -> dict[str, float]:
    """The means over the baskets of Recall@k and NDCG@10, as the literature on the next basket has them.

    Ming Li et al., A Next Basket Recommendation Reality Check, TOIS 2023, https://arxiv.org/abs/2109.14233. Ties are
    worth what they are worth in expectation, as they are everywhere else here.
    """
    split = scored.split
    products, product = np.unique(split.product, return_inverse=True)
    _, once = np.unique(split.basket * len(products) + product, return_index=True)  # bought twice at two prices
    basket, gain = split.basket[once], scoring.mean_gain(scored, discounts(NDCG_K))[once]
    found = {f"recall_{k}": basket_recall(recall(scored.better, scored.tied, k)[once], basket) for k in KS}
    return {name: float(values.mean()) for name, values in {**found, "ndcg_10": basket_ndcg(gain, basket)}.items()}


def basket_recall(hit: np.ndarray, basket: np.ndarray) -> np.ndarray:
    """The share of each basket's products that was hit: float64 [K].

    Args:
        hit: [R], of each row's product, 1 where it is among the first k; a basket holds a product once.
        basket: int64 [R], numbers from 0 on.
    """
    return np.bincount(basket, hit) / np.bincount(basket)


def basket_ndcg(gain: np.ndarray, basket: np.ndarray, k: int = NDCG_K) -> np.ndarray:
    """What the places of each basket's products are worth, of what the best order of them would be: float64 [K].

    Args:
        gain: [R], the discount of the place of each row's product, 0 beyond place k.
        basket: int64 [R], numbers from 0 on.
        k: How many recommendations are shown.
    """
    ideal = np.cumsum(discounts(k))[np.minimum(np.bincount(basket), k) - 1]
    return np.bincount(basket, gain) / ideal


def discounts(k: int) -> np.ndarray:
    """What the places 1, 2, … k are worth: 1 / log2(place + 1)."""
    return 1 / np.log2(np.arange(k) + 2)


def never_bought(found: Inputs) -> np.ndarray:
    """Rows of a product that their customer is not known to have bought, bool [R]; those outside the catalogue too.

    History.repeat is another question: it looks at all splits, up to the row's own time.
    """
    split, size = found.split, len(found.sold)
    history = found.history.by_customer
    owner = np.repeat(np.arange(len(history.starts) - 1), np.diff(history.starts))
    known = found.target != NOT_IN_CATALOGUE  # of -1 the pair would be that of another customer
    return ~(known & np.isin(split.customer * size + found.target, owner * size + history.products))


def recent_sales(log: str, found: Inputs) -> np.ndarray:
    """Training purchases of the catalogue, each counting less the older it is; see `decayed`: float64 [N]."""
    files = examples.shards(storage.join(log, "examples", "train"))
    rows = examples.read(files, {schema.PRODUCT: "int64", schema.TIMESTAMP: "int64"})
    product = data.places(rows[schema.PRODUCT], found.embedded["model"].catalogue)
    return decayed(product, rows[schema.TIMESTAMP], len(found.catalogue))


def decayed(product: np.ndarray, time: np.ndarray, products: int) -> np.ndarray:
    """Purchases of each product, weighted 2^(-age / HALF_LIFE), the last one's age being 0: float64 [N].

    Args:
        product: int64 [T], numbers in the catalogue, or NOT_IN_CATALOGUE.
        time: int64 [T], Unix seconds.
        products: N.
    """
    known = product != NOT_IN_CATALOGUE
    weights = np.exp2((time - time.max()) / HALF_LIFE)
    return np.bincount(product[known], weights[known], minlength=products)


def explore_ranks(
    scores: Scores,
    bought: Callable[[np.ndarray], np.ndarray],
    query: np.ndarray,
    customer: np.ndarray,
    target: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Ranks each row's product among those that its customer never bought.

    Args:
        scores: See scoring.Scorer.
        bought: From customers [b] to what they bought in training, bool [b, N].
        query, customer: int64 [R], of each row.
        target: int64 [R], the row's product, which its customer never bought, or NOT_IN_CATALOGUE.

    Returns:
        better, tied: int64 [R], as ranking.count_better gives them.
    """
    better, tied = np.full(len(target), UNRANKED, np.int64), np.zeros(len(target), np.int64)
    known = np.flatnonzero(target != NOT_IN_CATALOGUE)
    if not len(known):
        return better, tied
    customers = int(customer.max()) + 1
    pairs, pair = np.unique(query[known] * customers + customer[known], return_inverse=True)
    rows = known[np.argsort(pair, kind="stable")]
    ends = np.cumsum(np.bincount(pair))
    for start in range(0, len(pairs), PAIRS):
        queries, owners = np.divmod(pairs[start : start + PAIRS], customers)
        distinct, place = np.unique(queries, return_inverse=True)
        block = scores(distinct).astype(np.float64)[place]
        block[bought(owners)] = -np.inf
        for number, line in enumerate(block, start):
            mine = rows[ends[number - 1] if number else 0 : ends[number]]
            own = line[target[mine], None]
            better[mine], tied[mine] = (line > own).sum(axis=1), (line == own).sum(axis=1) - 1
    return better, tied


def whole_curve(training: dict[str, Any]) -> list[dict[str, Any]]:
    """The epochs after which the model ranks whole catalogues: with a history, those of the term for repeats, which
    is trained when the towers are done."""
    if "repeats" not in training:
        return list(training["curve"])
    before = training["seconds"]
    return [{**point, "seconds": before + point["seconds"]} for point in training["repeats"]["curve"]]


def seconds_to_beat(curve: Sequence[dict[str, Any]], value: float) -> float | None:
    """Seconds of training until the validation Recall@10 was above a value; None where it never was."""
    return next((float(point["seconds"]) for point in curve if point["validation_recall_10"] > value), None)

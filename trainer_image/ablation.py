"""What category, subcategory and their crosses are worth: trained with and without them, judged on the same purchases.

Nothing else differs: data, loss, options and seeds are the same, and without them the candidate tower has fewer inputs.
The difference in Recall is paired by purchase. Its interval resamples what chance decided, customers and seeds, each
apart from the other (Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007). Of a few seeds it can know
little, but it never hides how much they differ: with three, it reaches about from the worst of them to the best.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from components.common import feature_config as fc
from components.common import schema, storage
from components.common.bootstrap import Bootstrap, Estimate, Interval
from components.common.errors import InputError
from trainer_image import inputs, tf_config, validation
from trainer_image.checkpoint import ABLATION, Checkpoints
from trainer_image.fit import Features, Given, fitted, let_go, set_up
from trainer_image.inputs import Purchases
from trainer_image.model import TwoTower
from trainer_image.options import Options

METADATA = (schema.CATEGORY, schema.SUBCATEGORY)
KS = (10, 100)
SPLIT = "test"
DRAW_SEEDS = 1  # of the draw of training seeds: not the one from which Bootstrap draws customers

Hits = Mapping[int, np.ndarray]  # {k: float64 [E]}, the chance of each pair of query and product to be among the first


def removed(config: fc.FeatureConfig) -> list[str]:
    """Keys of the features that read category or subcategory; only products have these."""
    return [entry.key for entry in config.candidate.features if not set(METADATA).isdisjoint(entry.columns)]


def without_metadata(options: Options, config: fc.FeatureConfig) -> fc.FeatureConfig:
    """The config without these features.

    Raises:
        InputError: the config or another option makes the comparison impossible.
    """
    cluster = tf_config.read()
    if cluster and cluster.others:
        raise _impossible(f"a TF_CONFIG of {len(cluster.addresses)} workers", "one", "Train on one machine")
    if options.refit:
        raise _impossible(
            "--refit, which is of one model", "a model that learned from the training split", "Leave it out"
        )
    if options.warm_start_from:
        found = f"--warm-start-from {options.warm_start_from}, a model that may have learned from them"
        raise _impossible(found, "random weights to begin with", "Begin anew")
    gone = removed(config)
    if not gone:
        found = "a feature config that does not read them"
        raise _impossible(found, f"a feature of {' or '.join(METADATA)}", "Add one to the candidate tower")
    kept = tuple(entry for entry in config.candidate.features if entry.key not in gone)
    if not kept:
        found = f"a candidate tower of nothing but {', '.join(gone)}"
        raise _impossible(found, "a feature that stays", f"Add one, such as {schema.PRODUCT}")
    return config.model_copy(update={"candidate": config.candidate.model_copy(update={"features": kept})})


def expect_products(products: int) -> None:
    """Raises InputError where there are so few that every Recall would be 1."""
    if products <= min(KS):
        raise _impossible(f"a catalogue of {products} products", f"more than {min(KS)}", "Extract more of them")


def impact(options: Options, full: Features, bare: Features, given: Given, model: TwoTower) -> dict[str, Any]:
    """Trains what is to be compared and compares it; what an earlier run of the same command trained is not repeated.

    Args:
        options: Of the main training.
        full: Features with metadata.
        bare: Those without.
        given: Of the main training; the test purchases by buyer.
        model: The main model: that of the first seed, with metadata.

    Returns:
        `metadata_impact` of model_metadata.json: {"removed": features, "seeds", "split", what `summary` says,
        "recall_10": {"with", "without": means over the seeds, "difference": {"value", "low", "high"}, "per_seed":
        [{"seed", "with", "without"}]}, "recall_100": …}; a k that is not below the number of products is left out.
    """
    test = given.purchases[SPLIT]
    seeds = [options.seed + i for i in range(options.ablation_seeds)]
    having = [_hits(model, test)] + [_trained(options, seed, "with", full, given) for seed in seeds[1:]]
    lacking = [_trained(options, seed, "without", bare, given) for seed in seeds]
    about = {"removed": removed(full.config), "seeds": seeds, "split": SPLIT}
    found = compared(having, lacking, test, seeds)
    return about | summary(found) | found


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """What `compared` found at the largest k, in two values.

    Returns:
        improvement_vs_no_metadata: The change of Recall as a share of that without metadata, such as "+9.1%"; left
            out where that is 0. proves_metadata_value: Whether the interval of the difference is above 0.
    """
    largest = found[max(found, key=lambda name: int(name.rpartition("_")[2]))]
    said = {}
    if largest["without"]:
        said["improvement_vs_no_metadata"] = f"{100 * (largest['with'] / largest['without'] - 1):+.1f}%"
    return {**said, "proves_metadata_value": largest["difference"]["low"] > 0}


def compared(having: Sequence[Hits], lacking: Sequence[Hits], purchases: Purchases, seeds: list[int]) -> dict[str, Any]:
    """Recall with and without, and the difference with its 95% interval, for every k.

    Args:
        having, lacking: What each of the S seeds hit, with metadata and without.
        purchases: What there was to hit, by buyer.
        seeds: The S seeds.
    """
    buyers, buyer = np.unique(purchases.queries[inputs.BUYER][purchases.pair_query()], return_inverse=True)
    bootstrap = Bootstrap(len(buyers))
    rows = np.bincount(buyer, purchases.times)

    def recall(hits: Sequence[Hits], k: int) -> Estimate:
        """Of each seed."""
        hit = [np.bincount(buyer, purchases.times * of_seed[k]) for of_seed in hits]
        return bootstrap.ratio(np.stack(hit, axis=1), np.repeat(rows[:, None], len(hits), axis=1))

    found = {}
    for k in having[0]:
        with_them, without_them = recall(having, k), recall(lacking, k)
        difference = _over_seeds(with_them - without_them).interval()
        of_seeds = zip(seeds, with_them.value.tolist(), without_them.value.tolist(), strict=True)
        found[f"recall_{k}"] = {
            "with": float(with_them.value.mean()),
            "without": float(without_them.value.mean()),
            "difference": cast(Interval, difference).as_dict(),  # a split has rows, so there is one
            "per_seed": [{"seed": seed, "with": one, "without": other} for seed, one, other in of_seeds],
        }
    return found


def _over_seeds(estimate: Estimate) -> Estimate:
    """The mean over seeds, which every resample draws anew."""
    replicates, seeds = estimate.resampled.shape
    drawn = np.random.default_rng(DRAW_SEEDS).integers(0, seeds, (replicates, seeds))
    resampled = np.take_along_axis(estimate.resampled, drawn, axis=1)
    return Estimate(estimate.value.mean(keepdims=True), resampled.mean(axis=1, keepdims=True))


def _trained(options: Options, seed: int, which: str, features: Features, given: Given) -> Hits:
    """What a training of its own hits; its checkpoints stay until the main training's go."""
    print(f"ablation: {which} category and subcategory, seed {seed}", flush=True)
    folder = storage.join(options.checkpoints, ABLATION, f"seed-{seed}-{which}")
    checkpoints = Checkpoints(folder, options.checkpoint_minutes)
    seeded = replace(options, seed=seed)
    set_up(seeded)
    with tempfile.TemporaryDirectory() as logs:
        fit = fitted(seeded, features, given, checkpoints, logs)
    if given.latest:
        fit.model.know(given.latest)
    hits = _hits(fit.model, given.purchases[SPLIT])
    let_go(fit.model.weights, given.distribution)
    return hits


def _hits(model: TwoTower, purchases: Purchases) -> Hits:
    ks = [k for k in KS if k < len(model.catalogue)]  # Recall@N is always 1
    return validation.hits_of(validation.embeddings(model, purchases), purchases, ks)


def _impossible(found: str, expected: str, remedy: str) -> InputError:
    return InputError("--ablate", found, expected, f"{remedy}, or train without --ablate.")

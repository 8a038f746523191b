"""All that an evaluation reads: the models with their vectors, the rows to rank, and what was bought before."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from components.common import example_set, lineage, outputs, progress, saved_models, schema, staging, storage
from components.common import vocabularies as words
from components.common.errors import InputError
from components.common.example_metadata import Metadata
from components.common.example_set import ExampleSet
from components.common.lineage import Source
from components.common.ranking import NOT_IN_CATALOGUE
from components.common.vocabularies import purchases_of, require
from components.evaluator import data, history, models
from components.evaluator.data import Split
from components.evaluator.history import History, Later
from components.evaluator.models import Embedded, Model
from components.evaluator.scoring import Scorer


class Inputs(NamedTuple):
    """One split of R rows by C customers, and a model with a catalogue of N products."""

    split: Split
    history: History
    models: dict[str, Model]  # "model", and "champion" where there is one
    embedded: dict[str, Embedded]
    scorers: dict[str, Scorer]
    metadata: Metadata
    products: dict[str, dict[str, Any]]  # the product lookup
    training_customers: int
    known_splits: tuple[str, ...]  # those whose purchases the model and the baselines know
    made_from: dict[str, Any]  # of evaluation.json

    @property
    def catalogue(self) -> list[str]:
        """Product ids [N] of the model."""
        return self.models["model"].catalogue

    @property
    def target(self) -> np.ndarray:
        """The rows' products in the catalogue, or NOT_IN_CATALOGUE: int64 [R]."""
        return self.scorers["model"].target

    @property
    def sold(self) -> np.ndarray:
        """Known purchases of the catalogue, float64 [N]."""
        return self.scorers["model"].sold

    @property
    def totals(self) -> np.ndarray:
        """Known purchases of the split's customers, int64 [C]."""
        return self.history.by_customer.totals()[: len(self.split.customers)]

    @property
    def taste(self) -> np.ndarray:
        """Mean popularity of what each customer is known to have bought, in purchases; NaN for nothing: [C]."""
        sums, totals = self.history.by_customer.sums(self.sold)[: len(self.split.customers)], self.totals
        return sums / np.where(totals, totals, np.nan)

    def facts(self) -> dict[str, Any]:
        """The counts of evaluation.json."""
        split = self.split
        found = {
            "rows": split.rows,
            "queries": len(self.embedded["model"].queries),
            "customers": len(split.customers),
            "baskets": int(split.basket.max()) + 1,
            "training_customers": self.training_customers,
            "known_splits": list(self.known_splits),
            "learned_splits": list(self.models["model"].learned_splits),
            "catalogue_size": len(self.catalogue),
            "unseen_products": _share(self.target == NOT_IN_CATALOGUE),
            "unseen_customers": _share((self.totals == 0)[split.customer]),
        }
        if "champion" in self.models:
            champion = self.models["champion"]
            left_out = len(champion.catalogue) - len(self.embedded["champion"].catalogue)
            found["champion"] = {"model_version": champion.version, "products_left_out": left_out}
        return found


def read(
    model: str,
    champion: str,
    examples: str,
    vocabularies: str,
    split: str,
    ks: Sequence[int],
    metadata_path: str = "",
    mix: bool = False,
) -> Inputs:
    """Reads everything, and before the purchases checks what can be checked without them.

    Args:
        model, champion: model/ of the Trainer, local or gs://; "" where there is no champion.
        examples: examples/ of the DataExtractor, or shards that nobody split.
        vocabularies: vocabularies.json of the VocabBuilder, or tokens alone.
        split: The split to rank.
        ks: Cut-offs, which must lie within the model's catalogue.
        metadata_path: metadata.json of the examples; "" for the one in their folder or beside it.
        mix: The model or the vocabularies may be of other examples.

    Raises:
        InputError: something is missing, damaged, or does not belong together.
    """
    of_train = words.read(vocabularies)
    listed = example_set.find(examples, metadata_path)
    with contextlib.ExitStack() as stack:
        given = {"model": model, **({"champion": champion} if champion else {})}
        folders = {name: outputs.resolved(path) for name, path in given.items()}
        loaded = {name: models.load(stack.enter_context(staging.staged(path))) for name, path in folders.items()}
        catalogue = loaded["model"].catalogue
        _expect_within(ks, len(catalogue))
        for name, one in loaded.items():
            _expect_later(split, folders[name], one)
        found = stack.enter_context(listed.opened())
        made_from = _made_from(folders["model"], loaded["model"], found, of_train, mix)
        for name, one in loaded.items():
            _expect_columns(folders[name], one, found.columns, bool(found.metadata.splits))
        counted = {name: schema.EXAMPLE[name] for name in (schema.CUSTOMER, schema.PRODUCT)}
        features = of_train.completed(found.part("train"), counted).features
        tokens = require(features, vocabularies, schema.CUSTOMER, "tokens")
        _expect_in_vocabulary(catalogue, require(features, vocabularies, schema.PRODUCT, "tokens"), vocabularies)
        products = found.products(_of_both(one.candidate.columns for one in loaded.values()))
        splits = loaded["model"].known_splits
        with progress.step("Reading the purchases"):
            rows, before, later = _purchases(found, split, loaded, tokens)
        with progress.step("Asking the models"):
            embedded = {
                name: models.embed(one, _sold_now(name, folders[name], one, products), rows, products, found.lookup)
                for name, one in loaded.items()
            }
    scorers = {}
    for name, vectors in embedded.items():
        in_training = purchases_of(features, vocabularies, [str(product) for product in vectors.catalogue])
        scorers[name] = vectors.scorer(rows, in_training + later.sold(vectors.catalogue))
    return Inputs(rows, before, loaded, embedded, scorers, found.metadata, products, len(tokens), splits, made_from)


def _made_from(
    path: str, model: Model, examples: ExampleSet, vocabularies: words.Vocabularies, mix: bool
) -> dict[str, Any]:
    """`made_from` of evaluation.json; refuses, unless `mix`, what is of other examples. A champion may always be."""
    vocabularies.expect_of(examples.fingerprint, examples.path, mix)
    sources = {
        lineage.EXAMPLES: Source(examples.fingerprint, examples.path),
        lineage.VOCABULARIES: Source(vocabularies.fingerprint, vocabularies.path),
    }
    lineage.expect(storage.join(path, saved_models.METADATA), model.metadata, mix, **sources)
    return lineage.made_from(model=model.version, examples=examples.fingerprint, vocabularies=vocabularies.fingerprint)


def _of_both(columns: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The columns of several models, with their types."""
    return {column: kind for of_one in columns for column, kind in of_one.items()}


def _purchases(
    examples: ExampleSet, split: str, loaded: dict[str, Model], tokens: list[str]
) -> tuple[Split, History, Later]:
    """The rows to rank, what was bought before them, and what the model knows of it beyond training.

    Args:
        examples: All of them.
        split: The split to rank.
        loaded: The models, whose query columns are read.
        tokens: The customers of the train split.
    """
    parts = {name: examples.part(name) for name in schema.SPLITS}
    known = loaded["model"].known_splits
    columns = _of_both(one.query.columns for one in loaded.values())
    rows = data.read(parts[split], columns, has_city=examples.columns.get(data.CITY) == "string")
    ids = np.array([int(product) for product in loaded["model"].catalogue], np.int64)
    later = history.later([parts[name] for name in known[1:]])
    customers = np.array([token.encode() for token in tokens], object)
    new = data.places(later.customers, customers) == NOT_IN_CATALOGUE
    return rows, history.read(parts, rows, np.concatenate([customers, later.customers[new]]), ids, known), later


def _sold_now(name: str, folder: str, model: Model, products: dict[str, dict[str, Any]]) -> list[str]:
    """The model's catalogue; of a champion's, what is still sold: no row of this run can be of anything else."""
    if name == "model":
        return model.catalogue
    still = [product for product in model.catalogue if product in products]
    if not still:
        found = "no product of its catalogue among this run's"
        raise InputError(folder, found, "a champion that sells what is sold now", "Name another, or none.")
    return still


def _expect_within(ks: Sequence[int], catalogue_size: int) -> None:
    """Raises InputError unless there are cut-offs, none of them beyond the catalogue."""
    bad = [k for k in ks if not 1 <= k <= catalogue_size]
    if bad or not ks:
        raise InputError(
            "--ks",
            f"k = {bad[0]}" if bad else "none",
            f"numbers from 1 to {catalogue_size}, the size of the catalogue",
            f"Choose another --ks, none above {catalogue_size}.",
        )


def _expect_columns(folder: str, model: Model, columns: dict[str, str], is_ours: bool) -> None:
    """Raises InputError where a query model reads a column that the Examples lack, or have with another type."""
    extract = "Extract with a feature config that names it, as a feature or under carried."
    for column, kind in model.query.columns.items():
        if columns.get(column) != kind:
            found = f"{column}, a {columns[column]}" if column in columns else f"no {column}"
            raise InputError(
                f"the Examples' schema, for {folder}",
                found,
                f"{column}, a {kind}, which this model's query tower reads",
                extract if is_ours else "Write the Examples with it, or evaluate a model that does not read it.",
            )


def _expect_later(split: str, folder: str, model: Model) -> None:
    """Raises InputError where a model knows what was bought in the split that is to be ranked."""
    if split in model.known_splits:
        raise InputError(
            f"--split {split}, for {folder}",
            f"a model that knows the purchases of {' and '.join(model.known_splits)}",
            "a split that comes after what the model knows",
            "Evaluate on test, or train without --refit and with --history-through train.",
        )


def _expect_in_vocabulary(catalogue: list[str], tokens: list[str], path: str) -> None:
    """Raises InputError where the vocabularies are of another run than the model."""
    missing = sorted(set(catalogue) - set(tokens))
    if missing:
        raise InputError(
            f"{path}, feature {schema.PRODUCT}",
            f"no token {missing[0]} ({len(missing):,} of {len(catalogue):,} products of the model are missing)",
            "every product of the model's catalogue",
            "Use the vocabularies that the model was trained with.",
        )


def _share(rows: np.ndarray) -> dict[str, float]:
    return {"rows": int(rows.sum()), "share": float(rows.mean())}

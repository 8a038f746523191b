"""What every component makes of a run: functions from a run to figures, which end as the component does.

Figures are what can be compared between two runs: what was written, without times and paths. `paths` are arguments that
take the place of the run's own.
"""

import contextlib
import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.fuzz.once import digest
from tests.fuzz.runs import KS, Run, options

Figures = dict[str, Any]
Reader = Callable[..., Figures]


def data_extractor(run: Run, output: Path, **paths: str) -> Figures:
    """All that is written: metadata.json, the data report but for what it says of types, and the records of shards."""
    from components.data_extractor.extract import extract

    told = {
        "purchases": f"{run.purchases}/*.parquet",
        "products": str(run.products),
        "output_path": str(output),
        "feature_config": str(run.config),
        **{name: str(path) for name, path in run.optional.items() if os.path.lexists(path)},
        **paths,
    }
    metadata = extract(**told)  # type: ignore[arg-type]
    written = Path(told["output_path"])
    report = json.loads((written / "data_report.json").read_text(encoding="utf-8"))
    records = {
        str(path.relative_to(written)): hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
        for path in sorted(written.glob("*/*.gz"))
    }
    return {**without(metadata, "source"), "report": without(report, "source", "conversions"), "records": records}


def vocab_builder(run: Run, output: Path, **paths: str) -> Figures:
    """vocabularies.json."""
    from components.vocab_builder.build import build_vocabularies

    told = {"examples": str(run.examples), "output_path": str(output), "feature_config": str(run.config), **paths}
    return build_vocabularies(**told)


def trainer(run: Run, output: Path, **paths: str) -> Figures:
    """All that would be trained on, and model_metadata.json as the first training of this process makes it."""
    from trainer_image import train

    fitted, seen = train.fitted, Figures()

    def once(told: Any, features: Any, given: Any, *rest: Any) -> Any:
        seen.update(_given(features, given))
        if not _TRAINED:
            _TRAINED.append(fitted(told, features, given, *rest))
        return _TRAINED[0]

    with mock.patch.object(train, "fitted", once), mock.patch.object(train, "_publish"):
        document = train.train(options(run, **{"output_path": str(output), **paths}))
    return {**document, **seen}


def warm_start(run: Run, output: Path, **paths: str) -> Figures:
    """The weights that a training would begin with."""
    from components.common import schema
    from trainer_image import warm_start, weights

    if not _TRAINED:
        trainer(run, output)
    model = _TRAINED[0].model
    before = model.get_values()
    try:
        products = schema.read_metadata(str(run.examples / "metadata.json"))["products"]
        carried = warm_start.apply(paths.get("model", str(run.model)), model, products)
        begun = {name: digest(variable.numpy()) for name, variable in weights.variables(model).items()}
        return {**begun, "said": warm_start.describe(carried).splitlines()[1:]}
    finally:
        model.set_values(before)


def evaluator(run: Run, output: Path, **paths: str) -> Figures:
    """evaluation.json."""
    from components.evaluator.evaluate import evaluate

    told = {
        "model": str(run.model),
        "examples": str(run.examples),
        "vocabularies": str(run.vocabularies),
        "output_path": str(output),
        **paths,
    }
    return without(evaluate(**told, ks=KS, must_beat="none"), "timing", "fingerprint")  # type: ignore[arg-type]


def exporter(run: Run, output: Path, **paths: str) -> Figures:
    """release.json, without the checksums of the SavedModel: TensorFlow writes the same one in many ways."""
    from components.exporter.export import export

    told = {
        "model": str(run.model),
        "examples": str(run.examples),
        "evaluation": str(run.evaluation),
        "output_path": str(output),
        **paths,
    }
    document = export(**told)  # type: ignore[arg-type]
    files = {name: file for name, file in document.get("files", {}).items() if not name.startswith("saved_model/")}
    return {**without(document, "model", "fingerprint"), "files": files}


def server(run: Run, output: Path, **paths: str) -> Figures:
    """What a server knows and answers."""
    from serving_image.households import Households
    from serving_image.model import Model
    from serving_image.release import locate
    from serving_image.rows import Row

    folder, document = locate(paths.get("release", str(run.release)))
    model = Model(folder)
    row = Row(tuple(column.default for column in model.columns), 5, (), "")
    households = Households(paths.get("examples", str(run.examples)), model.columns)
    return {
        "promote": document.get("verdict", {}).get("promote"),
        "columns": [list(column) for column in model.columns],
        "catalogue": model.catalogue.ids.tolist(),
        "answer": model([row]),
        "households": [households.one(found["id"]) for found in households.all()[:5]],
    }


def publisher(run: Run, output: Path, **paths: str) -> Figures:
    """What the registry and Vector Search are told of a release."""
    from components.exporter.vertex import release

    found = release.read(paths.get("release", str(run.release)))
    told = {name: found.document[name] for name in ("files", "embeddings", "metrics", "verdict")}
    return {"labels": found.labels, **told}


def tuning(run: Run, output: Path, **paths: str) -> Figures:
    """tuning.json of a search that finds its only training, the run's model, already there."""
    shutil.copytree(run.model, output / "trials" / "given" / "model")
    (output / "lock").touch()
    return _searched(run, output, **paths)


def search(run: Run, output: Path, **paths: str) -> Figures:
    """tuning.json of a search that was finished before."""
    shutil.copytree(run.search, output, symlinks=True)
    return _searched(run, output, **paths)


def _searched(run: Run, output: Path, **paths: str) -> Figures:
    from tuning.options import Search
    from tuning.search import tune

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        tune(options(run, **{"output_path": str(output), **paths}), Search(trials=1, k=5))
    summary = json.loads((output / "tuning.json").read_text(encoding="utf-8"))
    shown = {name: without(summary[name], "seconds") for name in ("given", "best")}
    return {**summary, **shown, "settings": (output / "best" / "parameters.yaml").read_text(encoding="utf-8")}


def feature_config(run: Run, output: Path, **paths: str) -> Figures:
    """The feature config; what loads is read by all components, and encodes."""
    from components.common import feature_config as fc
    from components.common import schema
    from components.common.vocabularies import read_vocabularies
    from components.data_extractor import sources
    from trainer_image.model import Encoders

    config = fc.load(paths.get("feature_config", str(run.config)))
    extras = sources.extra_columns(config)
    if not any(extras.values()):  # the examples hold what it reads
        where = {"vocabularies": str(run.vocabularies), "metadata": str(run.examples / "metadata.json")}
        products = schema.read_metadata(where["metadata"])["products"]
        encoders = Encoders(config, read_vocabularies(where["vocabularies"]), products, where)
        encoders.query({name: np.array([ROW[name]]) for name in encoders.query.columns})
    return dict(json.loads(config.model_dump_json()))


def thresholds(run: Run, output: Path, **paths: str) -> Figures:
    """The limits of the data report."""
    from components.data_extractor import thresholds as limits

    return limits.load(paths.get("thresholds", str(run.optional["thresholds"]))).model_dump()


def search_space(run: Run, output: Path, **paths: str) -> Figures:
    """What a search would search."""
    from components.common import feature_config as fc
    from tuning import space

    given = space.Settings(options(run, output_path=str(output)), fc.load(str(run.config)))
    found = space.load(paths.get("space", str(run.space)), given)
    return {name: repr(distribution) for name, distribution in found.items()}


READERS: dict[str, Reader] = {
    "DataExtractor": data_extractor,
    "VocabBuilder": vocab_builder,
    "Trainer": trainer,
    "warm start": warm_start,
    "Evaluator": evaluator,
    "Exporter": exporter,
    "server": server,
    "publisher": publisher,
    "tuning": tuning,
    "search": search,
    "feature config": feature_config,
    "thresholds": thresholds,
    "search space": search_space,
}
# What a run must have come to before a component can read it.
NEEDS = {
    "VocabBuilder": "examples",
    "Trainer": "vocabularies.json",
    "warm start": "model",
    "Evaluator": "model",
    "Exporter": "evaluation",
    "server": "release",
    "publisher": "release",
    "tuning": "model",
    "search": "search",
    "feature config": "vocabularies.json",
}
ROW = {
    "cust_person_id": b"customer",
    "product_id": 1,
    "revenue": np.float32(1),
    "city": b"Ulm",
    "timestamp": 1,
    "art_name": b"Soap",
    "stratbuy_domain_desc": b"Household",
    "mge_main_cat_desc": b"Soap",
}
_TRAINED: list[Any] = []  # the first training of this process


def without(document: Figures, *names: str) -> Figures:
    return {name: value for name, value in document.items() if name not in names}


def _given(features: Any, given: Any) -> Figures:
    """What a training is given."""
    seen: Figures = {"loss": given.loss, "products": digest(json.dumps(given.products, sort_keys=True))}
    for split, purchases in given.purchases.items():
        columns = (*purchases.queries.values(), purchases.splits, purchases.product, purchases.times)
        seen[split] = digest(*map(np.asarray, columns))
    for side in ("query", "candidate"):
        encoder = getattr(features.encoders, side)
        seen[side] = digest(repr(encoder.tables), *(np.asarray(values) for _, values in encoder.bases.values()))
    return seen

"""What `make bench-serve` serves: a release of the demo, made once, its customers, and what the model says to them."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.demo_log import demo_log
from benchmarks.processes import measured
from components.common import examples, schema, storage

COLUMNS = {schema.CUSTOMER: "string", "revenue": "float", "city": "string"}  # of the default feature config


def prepared(release: str, cache: str) -> tuple[str, str]:
    """The folders release/ and examples/.

    Args:
        release: One that is there, made from the demo's data; "" makes one.
        cache: Folder for the demo's data and model.
    """
    log = demo_log(cache)
    if not release:
        release = f"{log}/release"
        if not os.path.exists(f"{log}/model"):
            measured("benchmarks.eval:trained", log=log)
        if not os.path.exists(release):
            measured("benchmarks.serve_release:exported", log=log, release=release)
    return release, f"{log}/examples"


def exported(log: str, release: str) -> str:
    """Evaluates and exports the demo's model, however it compares: it is served for its speed."""
    from components.evaluator.evaluate import evaluate
    from components.exporter.export import export

    model, data, words, report = (
        storage.join(log, name) for name in ("model", "examples", "vocabularies.json", "evaluation")
    )
    if not os.path.exists(report):
        evaluate(model=model, examples=data, vocabularies=words, output_path=report, must_beat="none")
    export(model=model, examples=data, evaluation=report, output_path=release)
    return release


def customers(folder: str, count: int) -> list[dict[str, Any]]:
    """The columns of as many customers of the test split, at their first purchase there."""
    rows = examples.read(examples.shards(str(Path(folder, "test"))), COLUMNS)
    _, first = np.unique(rows[schema.CUSTOMER].astype(bytes), return_index=True)
    chosen = first[:count].tolist()
    return [
        {
            name: rows[name][row].decode() if kind == "string" else float(rows[name][row])
            for name, kind in COLUMNS.items()
        }
        for row in chosen
    ]


def truth(folder: str, customers: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """All products for each customer, best first, from the SavedModel itself: ids [C, N] and scores [C, N]."""
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)
    types = {"string": tf.string, "float": tf.float32}
    inputs = {
        name: tf.constant([customer[name] for customer in customers], types[kind]) for name, kind in COLUMNS.items()
    }
    outputs = loaded.signatures["recommend"](**inputs, k=tf.constant([1 << 20]))
    known = outputs["product_ids"].numpy()[0] >= 0
    return outputs["product_ids"].numpy()[:, known], outputs["scores"].numpy()[:, known]

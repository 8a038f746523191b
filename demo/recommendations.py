"""Asks a released model, as a shop would: raw customer features in, products by name out."""

import json
import subprocess
import sys
from pathlib import Path

HOUSEHOLDS, PRODUCTS = 3, 5

Recommendations = dict[str, list[tuple[str, str]]]  # household: products' names and subcategories


def ask(release: str, folder: str, log: Path) -> Recommendations:
    """Recommendations for a few households, by a process of its own: TensorFlow prints to wherever it is.

    Args:
        release: The Exporter's.
        folder: The examples that it was made from.
        log: Where TensorFlow's lines go.

    Raises:
        RuntimeError: the model does not answer.
    """
    with log.open("w", encoding="utf-8") as file:
        command = [sys.executable, "-m", __name__, release, folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=file, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"The released model did not answer: {log}")
    return dict(json.loads(done.stdout))


def recommend(release: str, folder: str) -> Recommendations:
    """Recommendations for a few households of the test split."""
    import numpy as np

    from components.common import examples, saved_models, schema, storage

    model = saved_models.SavedModel(release, saved_models.RETRIEVAL_MODEL)
    columns = {column: kind for column, kind in model.columns.items() if column not in schema.REQUEST}
    rows = examples.read(examples.shards(storage.join(folder, "test")), {**columns, schema.CUSTOMER: "string"})
    _, first = np.unique(rows[schema.CUSTOMER], return_index=True)
    chosen = first[np.linspace(0, len(first) - 1, HOUSEHOLDS).astype(int)]
    shown = {name: column[chosen] for name, column in rows.items()}
    found = model({**shown, "k": np.array([PRODUCTS], np.int32)})
    return {
        household.decode(): [(name.decode(), kind.decode()) for name, kind in zip(names, kinds, strict=True)]
        for household, names, kinds in zip(
            shown[schema.CUSTOMER], found["product_names"], found["subcategories"], strict=True
        )
    }


if __name__ == "__main__":
    print(json.dumps(recommend(*sys.argv[1:])))

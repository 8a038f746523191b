"""Asks a released model, as a shop would: raw customer features in, products by name out."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

HOUSEHOLDS, PRODUCTS = 3, 5

Recommendations = dict[str, list[list[str]]]  # household: products, each a name and a subcategory


@contextlib.contextmanager
def ready() -> Iterator[Callable[[str, str], Recommendations]]:
    """Starts a process that imports TensorFlow meanwhile, and keeps to itself what TensorFlow prints.

    Yields a function that asks: of a release and the examples it was made from to recommendations for a few households.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log, contextlib.ExitStack() as stack:
        command = [sys.executable, "-m", __name__]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, encoding="utf-8")
        stack.enter_context(process)
        stack.callback(process.kill)  # where it was not asked

        def ask(release: str, folder: str) -> Recommendations:
            answer, _ = process.communicate(json.dumps([release, folder]))
            if process.returncode:
                log.seek(0)
                raise RuntimeError(f"the released model does not answer:\n{log.read()}")
            return dict(json.loads(answer))

        yield ask


def recommend(release: str, folder: str) -> Recommendations:
    """Recommendations for a few households of the test split."""
    import numpy as np

    from components.common import example_set, saved_models, schema

    model = saved_models.SavedModel(release, saved_models.RETRIEVAL_MODEL)
    columns = {column: kind for column, kind in model.columns.items() if column not in schema.REQUEST}
    with example_set.opened(folder, splits=["test"]) as examples:
        rows = examples.part("test").read({**columns, schema.CUSTOMER: "string"})
    _, first = np.unique(rows[schema.CUSTOMER], return_index=True)
    chosen = first[np.linspace(0, len(first) - 1, HOUSEHOLDS).astype(int)]
    shown = {name: column[chosen] for name, column in rows.items()}
    found = model({**shown, "k": np.array([PRODUCTS], np.int32)})
    return {
        household.decode(): [[name.decode(), kind.decode()] for name, kind in zip(names, kinds, strict=True)]
        for household, names, kinds in zip(
            shown[schema.CUSTOMER], found["product_names"], found["subcategories"], strict=True
        )
    }


if __name__ == "__main__":
    from components.common import bare_tensorflow  # noqa: F401  what takes long comes before the question

    if asked := sys.stdin.read():
        print(json.dumps(recommend(*json.loads(asked))))

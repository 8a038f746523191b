"""model_metadata.json, as the Trainer writes it and everybody after it reads it."""

from collections.abc import Mapping
from typing import Any

from components.common import checksums, lineage, schema, shapes, storage
from components.common.errors import InputError
from components.common.shapes import Boolean, Choice, List, Maybe, Number, Object, Text

FILE = "model_metadata.json"
TRAIN_AGAIN = "Run the Trainer again."
SPLIT = Choice(schema.SPLITS)
PRODUCT_ID = Text("a product id, a whole number as text", r"-?\d{1,19}")
INTERVAL = Object({"value": Number(), "low": Number(), "high": Number()})
FEATURE = Object(
    {"kind": Text()}, {"name": Text(), "names": List(Text(), 1), "restrict": Boolean(), "transform": Text()}
)
TOWER = Object(allowed={"features": List(FEATURE), "layers": List(Number(1, whole=True), 1)})
TRAINING = Object(
    allowed={
        "curve": List(Object({"epoch": Number(0)}, others=Number())),
        "chance_loss": Maybe(Number()),
        "seconds": Number(0),
        "repeats": Object(allowed={"seconds": Number(0)}),
    }
)
COMPARED = Object({"with": Number(), "without": Number(), "difference": INTERVAL})
IMPACT = Object(allowed={f"recall_{k}": COMPARED for k in (5, 10, 50, 100)} | {"removed": List(Text())})
MADE_FROM = Object(others=Text("a fingerprint or a version"))
SHAPE = Object(
    {"model_version": Text("the model_version, a text"), "catalogue": List(PRODUCT_ID, 1)},
    {
        "refit": Object({"through": SPLIT}, {"seconds": Number(0), "repeats": Object(allowed={"seconds": Number(0)})}),
        "history": Object({"through": SPLIT}),
        "feature_config": Object(others=TOWER),
        "training": TRAINING,
        "hyperparameters": Object(),
        "metrics": Object(
            allowed={
                "best_epoch": Number(0, whole=True),
                "validation_metrics": Object(others=Number(0, 1)),
                "test_metrics": Object(others=Number(0, 1)),
            }
        ),
        "metadata_impact": IMPACT,
        "made_from": MADE_FROM,
        "files": checksums.FILES,
        "fingerprint": Text("a fingerprint"),
    },
)


def read_metadata(folder: str) -> dict[str, Any]:
    """The document of a model folder, local or gs://.

    Raises:
        InputError: not there, not as the Trainer writes it, or changed since.
    """
    path = storage.join(folder, FILE)
    metadata = storage.read_json(path, "the model_metadata.json of a finished training")
    shapes.expect(path, metadata, SHAPE, TRAIN_AGAIN)
    lineage.expect_sealed(path, metadata, "Trainer")
    catalogue = metadata["catalogue"]
    seen: set[int] = set()
    for product in map(int, catalogue):
        if not -(2**63) <= product < 2**63:
            raise InputError(f"{path}, field catalogue", f"product {product}", "ids that fit 64 bits", TRAIN_AGAIN)
        if product in seen:
            raise InputError(f"{path}, field catalogue", f"product {product} twice", "every product once", TRAIN_AGAIN)
        seen.add(product)
    for name, part in metadata.get("feature_config", {}).items():
        _expect_named(f"{path}, field feature_config.{name}", part.get("features", []))
    curve = metadata.get("training", {}).get("curve", [])
    for place, epoch in enumerate(curve):
        if missing := sorted(set(curve[0]) - set(epoch)):
            where = f"{path}, field training.curve[{place}].{missing[0]}"
            raise InputError(where, "nothing", "a number, as in the first epoch", TRAIN_AGAIN)
    return metadata


def _expect_named(where: str, features: list[dict[str, Any]]) -> None:
    """Raises InputError where a feature says neither its column nor its columns, which a history alone need not."""
    for place, feature in enumerate(features):
        if feature["kind"] != "history" and not {"name", "names"} & set(feature):
            raise InputError(f"{where}.features[{place}]", "no name", "the column that it reads", TRAIN_AGAIN)


def expect_files(folder: str, metadata: Mapping[str, Any]) -> None:
    """Raises InputError where the files of a local model folder are not those that its model_metadata.json names.

    Models of earlier versions name none; of those nothing can be said.
    """
    remedy = "Copy the whole folder of one training again, or run the Trainer again."
    checksums.expect(folder, metadata.get("files", {}), FILE, remedy)


def training_seconds(metadata: Mapping[str, Any]) -> float:
    """What the towers and, with a history, the term for repeats took, in both trainings where there was a refit."""
    trainings = [metadata["training"], *([metadata["refit"]] if "refit" in metadata else [])]
    return float(sum(one["seconds"] + one.get("repeats", {}).get("seconds", 0.0) for one in trainings))

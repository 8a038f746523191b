"""release.json, as the Exporter writes it and everybody after it reads it."""

from typing import Any

from components.common import checksums, lineage, shapes, storage
from components.common.shapes import Boolean, Either, List, Number, Object, Text

FILE = "release.json"
FORMAT_VERSION = 3
EXPORT_AGAIN = "Run the Exporter again."
COUNT = Number(1, whole=True)
REASON = Object(allowed={"rule": Text(), "passed": Boolean(), "text": Text()})
VERDICT = Object({"promote": Boolean()}, {"reasons": List(REASON)}, words="the gate's verdict")
FIGURE = Object({"value": Number()}, {"low": Number(), "high": Number()})
SHAPE = Object(
    {"verdict": VERDICT},
    {
        "model_version": Text("the model_version, a text"),
        "model": Text(),
        "embeddings": Object({"products": COUNT, "dimensions": COUNT}),
        "files": checksums.FILES,
        "metrics": Object(others=Either(FIGURE, Number())),
        "verification": Object(others=Number()),
        "made_from": Object(others=Text("a fingerprint or a version")),
        "fingerprint": Text("a fingerprint"),
    },
)


def read(path: str) -> dict[str, Any]:
    """The document in a file, local or gs://, of whatever version.

    Raises:
        InputError: not there, not as the Exporter writes it, or changed since.
    """
    document = storage.read_json(path, "the release.json of the Exporter")
    shapes.expect(path, document, SHAPE, EXPORT_AGAIN)
    lineage.expect_sealed(path, document, "Exporter")
    return document

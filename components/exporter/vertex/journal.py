"""published.json beside release.json: what was made of a release, where, and which operation is under way."""

from typing import Any

from components.common import shapes, storage
from components.common.shapes import Object, Text

FILE = "published.json"
SHAPE = Object(others=Object(others=Text("a name")))


class Journal:
    """The record of one release in one project and region; written after every step, so that the next one knows.

    Vertex AI's own labels decide what is there; this says what was asked for and not answered yet, and where to look.

    Args:
        folder: The release's, local or gs://.
        parent: projects/PROJECT/locations/REGION.
    """

    def __init__(self, folder: str, parent: str):
        self.path, self.parent = storage.join(folder, FILE), parent
        self.facts: dict[str, Any] = self._read().get(parent, {})

    def note(self, **facts: Any) -> None:
        """Adds facts; None takes one away."""
        everything = self._read()
        self.facts = {key: value for key, value in {**self.facts, **facts}.items() if value is not None}
        storage.write_json(self.path, {**everything, self.parent: self.facts})

    def _read(self) -> dict[str, Any]:
        if not storage.exists(self.path):
            return {}
        document = storage.read_json(self.path, "a record of what was published")
        remedy = "Correct it, or delete the file: what is on Vertex AI is found by its labels too."
        shapes.expect(self.path, document, SHAPE, remedy)
        return document

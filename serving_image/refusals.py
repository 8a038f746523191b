"""What a request is refused for: an HTTP status, and a reason that the sender can act on."""

import orjson

from components.common.errors import InputError

FOUND = 80  # characters of a wrong value that are repeated


class Refusal(InputError):  # noqa: N818  an answer to a request, not an error of ours
    """A request that is not answered as it wished.

    Args:
        status: The HTTP status, 4xx, or 503 where the same request may succeed later.
        where: The field, such as instances[3].revenue, or a part of the request.
        found: What was there.
        expected: What should have been there.
        remedy: What to do now.
        headers: Further response headers.
    """

    def __init__(
        self,
        status: int,
        where: str,
        found: str,
        expected: str,
        remedy: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ):
        super().__init__(where, found, expected, remedy)
        self.status, self.headers = status, headers

    def body(self) -> bytes:
        """{"error": {"field": …, "found": …, "expected": …, "remedy": …}} as JSON."""
        parts = {"field": self.where, "found": self.found, "expected": self.expected, "remedy": self.remedy}
        return orjson.dumps({"error": parts})


def shown(value: object) -> str:
    """A value of a request for an error: as JSON, cut short; of lists and objects, however deep, only what they are."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str) and len(value) > FOUND:
        return f"{orjson.dumps(value[:FOUND]).decode()[:-1]}…"
    return orjson.dumps(value).decode()

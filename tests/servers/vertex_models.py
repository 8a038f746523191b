"""Models, endpoints and indexes, as Vertex AI's REST API has them."""

from collections.abc import Callable
from typing import Any

from tests.servers.vertex_state import Call, State

ROUTES: dict[tuple[str, str, str], Callable[[State, Call], Any]] = {}
KINDS: tuple[str, ...] = ()

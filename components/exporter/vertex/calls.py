"""Calls to Vertex AI that may be made again, and waiting for what takes long."""

import random
import re
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from components.common import progress
from components.common.errors import InputError

ATTEMPTS = 6  # over about a minute
FIRST_PAUSE = 2.0  # seconds, doubled from one attempt to the next
FIRST_POLL, SLOWEST_POLL = 1.0, 30.0  # seconds between two looks at an operation
HOURS = 6  # that one operation may take; filling a large index takes hours, deploying a model minutes
SHOWN_BY = "the Google Cloud console"

Result = TypeVar("Result")


def is_passing(error: BaseException) -> bool:
    """Whether what failed may work when it is tried again."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from requests import exceptions as http

    passing = (
        *(api.TooManyRequests, api.InternalServerError, api.BadGateway, api.ServiceUnavailable, api.GatewayTimeout),
        *(api.Aborted, auth.TransportError, http.ConnectionError, http.ChunkedEncodingError, http.Timeout),
    )
    return isinstance(error, passing)


def again(attempt: Callable[[], Result], doing: str) -> Result:
    """Calls until it works, with growing pauses, where what failed may pass.

    Args:
        attempt: Looks first whether an earlier attempt did it after all: an answer may be lost on the way.
        doing: For the log, such as "uploading the model".
    """
    pause = FIRST_PAUSE
    for number in range(1, ATTEMPTS):
        try:
            return attempt()
        except Exception as error:
            if not is_passing(error):
                raise
            print(f"{doing}: attempt {number} of {ATTEMPTS} failed ({error}), trying again", file=sys.stderr)
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  spreads clients, guards nothing
        pause *= 2
    return attempt()


def done(operation: Any, doing: str) -> Any:
    """What a long-running operation comes to; lost polls are repeated.

    Raises:
        InputError: it is still running after HOURS. It goes on there, and a later run finds what it made.
        google.api_core.exceptions.GoogleAPICallError: it failed.
    """
    from google.api_core import retry
    from google.api_core.future import polling

    looks = polling.DEFAULT_POLLING.with_delay(initial=FIRST_POLL, maximum=SLOWEST_POLL)
    lost = retry.Retry(predicate=is_passing, initial=FIRST_POLL, maximum=SLOWEST_POLL, timeout=600)
    with progress.step(doing):
        try:
            return operation.result(timeout=HOURS * 3600, polling=looks, retry=lost)
        except TimeoutError:
            remedy = "It goes on there: run this again later."
            raise InputError(doing, f"no end after {HOURS} hours", "one in time", remedy) from None


def resumed(client: Any, name: str, result: Any, metadata: Any) -> Any:
    """An operation that an earlier process started.

    Args:
        client: Of the service that it belongs to.
        name: The operation's.
        result, metadata: The messages of its result and of its metadata.
    """
    from google.api_core import operation

    operations = client.transport.operations_client
    return operation.from_gapic(operations.get_operation(name), operations, result, metadata_type=metadata)


def named(what: str, display_name: str, resources: Iterable[Any]) -> Any | None:
    """The resource of a display name, or None.

    Raises:
        InputError: several have it; which one is meant cannot be told.
    """
    found = [resource for resource in resources if resource.display_name == display_name]
    if len(found) > 1:
        names = ", ".join(identifier(resource.name) for resource in found)
        raise InputError(what, f"{len(found)} named {display_name!r} ({names})", "one", "Rename or delete the others.")
    return found[0] if found else None


def identifier(name: str) -> str:
    """The last part of a resource's name: names hold the project's id here and its number there."""
    return name.rpartition("/")[2].partition("@")[0]


def expect_name(where: str, name: str, pattern: str, expected: str) -> None:
    """Raises InputError unless a name is one that Vertex AI would take."""
    if not re.fullmatch(pattern, name):
        raise InputError(where, repr(name), expected, "Choose another name.")


def expect_display_name(where: str, name: str) -> None:
    expect_name(where, name, r"[^\x00-\x1f\"\\]{1,128}", "1 to 128 characters without quotes and line breaks")

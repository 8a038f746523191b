"""The predict route, plain ASGI: a framework's router and request objects would cost a third of the throughput."""

import logging
import time

import orjson

from serving_image import bodies
from serving_image.refusals import Refusal
from serving_image.service import Service

log = logging.getLogger("serving")
JSON = (b"content-type", b"application/json")
NOTHING: tuple[tuple[bytes, bytes], ...] = ()
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
INTERNAL = orjson.dumps(
    {"error": {"field": "", "found": "an error of ours", "expected": "an answer", "remedy": "See the server's log."}}
)


async def predict(service: Service, scope: bodies.Scope, receive: bodies.Receive, send: bodies.Send) -> None:
    """Answers one predict request, whatever it is, with JSON: predictions, or an error with a reason."""
    started = time.perf_counter()
    status, extra = 200, NOTHING
    try:
        _expect_post(scope)
        body = await bodies.read(scope, receive, service.limits.body, service.body_seconds)
        loaded = service.loaded()
        rows = loaded.reader.read(body)
        answers = await loaded.batcher.answers(rows)
        content = orjson.dumps({"predictions": answers}, option=orjson.OPT_SERIALIZE_NUMPY)
    except bodies.ClientGone:
        return
    except Refusal as refusal:
        status, content, extra = refusal.status, refusal.body(), refusal.headers
    except Exception:
        log.exception("a predict request failed")
        status, content = 500, INTERNAL
    headers = [JSON, NO_SNIFFING, (b"content-length", b"%d" % len(content)), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
    service.metrics.predicted(status, time.perf_counter() - started)


def _expect_post(scope: bodies.Scope) -> None:
    if scope["method"] != "POST":
        found, remedy = scope["method"], "Send the instances by POST."
        raise Refusal(405, "the method", found, "POST", remedy, ((b"allow", b"POST"),))

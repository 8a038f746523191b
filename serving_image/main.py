"""The server's command line: `python -m serving_image.main --help`."""

import os

from components.common import cli
from components.common.errors import InputError, expect_at_least
from serving_image import server
from serving_image.rows import Limits

PORT, HEALTH, PREDICT = "8080", "/health", "/predict"


def serve(
    *,
    release: str = "",
    examples: str = "",
    host: str = "127.0.0.1",
    port: int | None = None,
    health_route: str = "",
    predict_route: str = "",
    max_body: int = Limits().body,
    max_instances: int = Limits().instances,
    max_k: int = Limits().k,
    max_exclude: int = Limits().exclude,
    max_history: int = Limits().history,
    max_batch: int = 256,
    max_waiting: int = 1024,
    body_seconds: float = 10.0,
) -> None:
    """Serves a release over HTTP, by the contract of Vertex AI's prediction containers, until SIGTERM.

    https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements

    Args:
        release: release/ of the Exporter, or a folder with saved_model.pb, local or gs://. Default: AIP_STORAGE_URI.
        examples: examples/ of the DataExtractor, whose test customers the page at / then shows.
        host: The address to listen on; 0.0.0.0 in a container, so that others reach it.
        port: 0 takes a free one. Default: AIP_HTTP_PORT, else 8080.
        health_route: 200 when the model is ready, 503 before. Default: AIP_HEALTH_ROUTE, else /health.
        predict_route: Default: AIP_PREDICT_ROUTE, else /predict.
        max_body: Bytes of a request.
        max_instances: Instances of a request.
        max_k: Products an instance may ask for.
        max_exclude: Products an instance may exclude.
        max_history: Purchases an instance may tell of, where the model takes a history.
        max_batch: Instances that a call of the model takes from several requests; 1 turns batching off.
        max_waiting: Instances that may wait for the model; requests beyond are answered 503.
        body_seconds: How long a request's body may take to arrive.
    """
    limits = Limits(max_body, max_instances, max_k, max_exclude, max_history)
    for flag, value in {**limits._asdict(), "batch": max_batch, "waiting": max_waiting}.items():
        expect_at_least(f"--max-{flag}", value, 1)
    server.run(
        server.Settings(
            release=release or os.environ.get("AIP_STORAGE_URI", ""),
            examples=examples,
            host=host,
            port=_port(os.environ.get("AIP_HTTP_PORT") or PORT) if port is None else port,
            health_route=_route("health", health_route, HEALTH),
            predict_route=_route("predict", predict_route, PREDICT),
            limits=limits,
            max_batch=max_batch,
            max_waiting=max_waiting,
            body_seconds=body_seconds,
        )
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InputError("AIP_HTTP_PORT", repr(text), "the number of a port", "Correct it.")
    return int(text)


def _route(name: str, flag: str, default: str) -> str:
    variable = f"AIP_{name.upper()}_ROUTE"
    route = flag or os.environ.get(variable) or default
    if not route.startswith("/") or "{" in route:
        raise InputError(f"--{name}-route, {variable}", repr(route), "a path that begins with /", "Correct it.")
    return route


if __name__ == "__main__":
    cli.run(serve)

"""The Evaluator's figures beside a version: a sentence in its description, and an evaluation in the registry.

Vertex AI has no published schema for retrieval metrics, so the evaluation brings its own, an OpenAPI 3.0.2 Schema
Object as the API's reference asks for: https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.models.evaluations
"""

from typing import Any

import yaml

from components.common import storage
from components.common.google import SECONDS
from components.exporter.vertex import calls, versions
from components.exporter.vertex.release import Release

SCHEMA = "metrics_schema.yaml"
MOST_CHARACTERS = 1000  # of a description
INTERVAL = {
    "type": "object",
    "properties": {
        "value": {"type": "number", "description": "On the test split."},
        "low": {"type": "number", "description": "Lower end of the 95% interval."},
        "high": {"type": "number", "description": "Upper end of the 95% interval."},
    },
}


def described(release: Release) -> str:
    """The version's description: where it comes from, and its Recall."""
    figures = [
        f"{name.replace('_', '@').capitalize()} {metric['value']:.4f}"
        for name, metric in release.document["metrics"].items()
        if name.startswith("recall_") and isinstance(metric, dict) and "value" in metric
    ]
    size = release.document["embeddings"]
    parts = (
        f"Model {release.model_version}, {size['products']} products, {size['dimensions']} dimensions.",
        f"Test split: {', '.join(figures)}." if figures else "",
        f"Release {release.folder}",
    )
    return " ".join(part for part in parts if part)[:MOST_CHARACTERS]


def report(client: Any, version: Any, release: Release) -> None:
    """Imports the release's metrics as an evaluation of the version, once.

    Args:
        client: ModelServiceClient.
        version: Its Model.
        release: In a bucket, where the schema of the metrics is written beside it.
    """
    from google.cloud.aiplatform_v1 import ModelEvaluation

    name, title = versions.versioned(version), f"test split, release {release.digest}"
    metrics, uri = release.document["metrics"], release.path(SCHEMA)
    made = ModelEvaluation(display_name=title, metrics_schema_uri=uri, metrics=metrics)

    def attempt() -> None:
        known = client.list_model_evaluations(parent=name, timeout=SECONDS)
        if any(each.display_name == title for each in known):
            return
        storage.write_text(uri, schema_of(metrics))
        client.import_model_evaluation(parent=name, model_evaluation=made, timeout=SECONDS)
        print(f"reported the metrics of version {version.version_id}")

    calls.again(attempt, "reporting the metrics")


def schema_of(metrics: dict[str, Any]) -> str:
    """The YAML that describes metrics."""
    kinds = {name: INTERVAL if isinstance(metric, dict) else {"type": "number"} for name, metric in metrics.items()}
    document = {"title": "retrieval_metrics", "type": "object", "properties": kinds}
    return str(yaml.dump(document, Dumper=_Plain, sort_keys=False))


class _Plain(yaml.SafeDumper):
    """Without anchors: equal parts are written out."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

"""A release as Vertex AI is to get it: read, checked against the gate's verdict, and in a bucket."""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass, replace
from typing import Any

from components.common import checks, checksums, lineage, outputs, schema, storage
from components.common import evaluation as evaluations
from components.common import release as releases
from components.common.errors import InputError
from components.common.release import EXPORT_AGAIN, FORMAT_VERSION
from components.common.release import FILE as RELEASE
from components.exporter.vertex import journal

FINGERPRINT = "fingerprint.pb"
SAVED_MODEL, EMBEDDINGS, INDEX = "saved_model", "embeddings", "index.json"


@dataclass(frozen=True)
class Release:
    """A release that the gate let pass.

    Args:
        folder: Where it lies, local or gs://.
        document: Its release.json.
    """

    folder: str
    document: dict[str, Any]

    @property
    def model_version(self) -> str:
        return str(self.document["model_version"])

    @property
    def digest(self) -> str:
        """Twelve hex digits of everything in the release: what tells one upload from another.

        TensorFlow writes another fingerprint.pb every time, also for the same model.
        """
        same = {path: file for path, file in self.document["files"].items() if not path.endswith(FINGERPRINT)}
        files = json.dumps([self.model_version, same], sort_keys=True)
        return hashlib.sha256(files.encode()).hexdigest()[:12]

    @property
    def labels(self) -> dict[str, str]:
        """What marks everything that is made of this release."""
        return {"model-version": label(self.model_version), "release": self.digest}

    def path(self, name: str) -> str:
        return storage.join(self.folder, name)


def read(folder: str) -> Release:
    """Reads release.json.

    Args:
        folder: release/ of the Exporter, local or gs://.

    Raises:
        InputError: no release, one of another format, or one that the gate did not let pass, with its reasons.
    """
    path = storage.join(folder, RELEASE)
    document = releases.read(path)
    schema.expect_version(path, document, FORMAT_VERSION, "Exporter")
    expect_promoted(path, document)
    for field in ("model_version", "metrics", "files", "embeddings"):
        if not document.get(field):
            raise InputError(f"{path}, field {field}", "nothing", f"the {field} of the release", EXPORT_AGAIN)
    return Release(folder.rstrip("/"), document)


def finished(folder: str, model: str, evaluation: str = "") -> dict[str, Any] | None:
    """release.json of the release that is there already, made of the same by an earlier attempt; else None.

    Args:
        folder: The release's.
        model: The model's.
        evaluation: The evaluation's; "" where only the model is compared.
    """
    path = storage.join(folder, RELEASE)
    if not storage.exists(path):
        return None
    document = releases.read(path)
    is_same = (document.get("format_version"), document.get("model")) == (FORMAT_VERSION, outputs.resolved(model))
    said = document.get(lineage.MADE_FROM, {}).get(lineage.EVALUATION)
    if is_same and evaluation and said and said != evaluations.read(evaluation).get("fingerprint"):
        return None
    return document if is_same else None


def expect_promoted(path: str, document: dict[str, Any]) -> None:
    """Raises InputError with the gate's reasons where its verdict is not yes."""
    verdict = document["verdict"]
    if verdict["promote"] is not True:
        found = refusal(verdict)
        remedy = "Nothing is sent. Train a better model, or change the gate's limits if they are wrong."
        raise InputError(f"{path}, field verdict", f"a no: {found}", "a yes of the gate", remedy)


def refusal(verdict: dict[str, Any]) -> str:
    """Why the gate said no, in its own words."""
    failed = [str(reason.get("text", "")) for reason in verdict.get("reasons", []) if reason.get("passed") is not True]
    return " ".join(failed).rstrip(".") or "without a reason"


def in_bucket(release: Release, staging: str) -> Release:
    """The release where Vertex AI can read it: as it is in a bucket, or copied to one.

    Args:
        release: Local or in a bucket.
        staging: gs://BUCKET/PATH; a local release goes to a folder of its own in it. A copy that is there already is
            taken; the copy of a run that was ended is replaced.

    Raises:
        InputError: a local release without a place to copy it to, or one that cannot be written.
    """
    if release.folder.startswith("gs://"):
        return release
    if not staging:
        expected = "one in Cloud Storage, where Vertex AI can read it"
        raise InputError(
            "release", release.folder, expected, "Name a folder to copy it to: --staging gs://BUCKET/PATH."
        )
    checks.bucket("--staging", staging)
    target = storage.join(staging, f"{label(release.model_version)}-{release.digest}")
    copy = replace(release, folder=target)
    if not storage.exists(copy.path(RELEASE)):
        checksums.expect(release.folder, release.document["files"], RELEASE, EXPORT_AGAIN)
        with storage.publish(target, RELEASE) as work:
            shutil.copytree(release.folder, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns(journal.FILE))
    return copy


def label(text: str) -> str:
    """A text as a label's value may be: https://cloud.google.com/compute/docs/labeling-resources#requirements."""
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:63]

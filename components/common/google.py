"""Google Cloud as the commands see it: which project, by whose credentials, and errors as sentences."""

import contextlib
import os
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from components.common import checks
from components.common.errors import InputError

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
SECONDS = 60.0  # for one request to Vertex AI; the SDK's own limit for a submission, five, is short for a large spec
LOGIN = "Run gcloud auth application-default login, or name a key file by $GOOGLE_APPLICATION_CREDENTIALS."
LIST = "python -m pipelines.vertex list"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class Where:
    """Whose Vertex AI, and where.

    Args:
        project: Google Cloud project; by default $GOOGLE_CLOUD_PROJECT.
        region: Vertex AI's region, for example europe-west3; by default $GOOGLE_CLOUD_REGION.
        endpoint: Vertex AI's address, by default $VERTEX_ENDPOINT, else the region's. A server on this machine, such
            as http://127.0.0.1:8080, is spoken to without credentials.
    """

    project: str = ""
    region: str = ""
    endpoint: str = ""

    @cached_property
    def parent(self) -> str:
        """projects/PROJECT/locations/REGION, as the API names it.

        Raises:
            InputError: project or region is missing or malformed, or the endpoint is no address.
        """
        project = self.project or os.environ.get("GOOGLE_CLOUD_PROJECT", "")
        region = self.region or os.environ.get("GOOGLE_CLOUD_REGION", "")
        checks.project("--project", project, "Name it, or set $GOOGLE_CLOUD_PROJECT.")
        checks.region("--region", region, "Name it, or set $GOOGLE_CLOUD_REGION.")
        return f"projects/{project}/locations/{region}"

    @property
    def project_id(self) -> str:
        return self.parent.split("/")[1]

    @property
    def location(self) -> str:
        return self.parent.split("/")[3]

    @cached_property
    def address(self) -> str:
        """Vertex AI's address, with https:// or, on this machine only, http://."""
        text = self.endpoint or os.environ.get("VERTEX_ENDPOINT", "") or f"{self.location}-aiplatform.googleapis.com"
        url = urllib.parse.urlsplit(text if "://" in text else f"https://{text}")
        if not url.hostname or not (url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK)):
            raise InputError("--endpoint", text, "https://HOST, or http:// on this machine", "Correct the address.")
        return url.geturl().rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether Vertex AI is a server on this machine, which must never see a token."""
        return urllib.parse.urlsplit(self.address).hostname in LOOPBACK

    @cached_property
    def credentials(self) -> Any:
        """Application default credentials; none for a server on this machine.

        Raises:
            InputError: there are none.
        """
        import google.auth
        from google.auth import credentials, exceptions

        if self.is_local:
            return credentials.AnonymousCredentials()
        try:
            return google.auth.default(scopes=SCOPES)[0]
        except exceptions.GoogleAuthError as error:
            raise InputError("credentials", "none", "application default credentials", LOGIN) from error

    def client(self, kind: Any) -> Any:
        """A client of the SDK, over REST: what the tests' server speaks is what runs.

        Args:
            kind: One of google.cloud.aiplatform_v1's clients.
        """
        address = self.address.removeprefix("https://")
        return kind(credentials=self.credentials, client_options={"api_endpoint": address}, transport="rest")

    def console(self, path: str) -> str:
        """The page of a resource in the console."""
        return f"https://console.cloud.google.com/vertex-ai/{path}?project={self.project_id}"

    def name(self, kind: str, identifier: str) -> str:
        """The full name of a resource of `kind`, such as pipelineJobs, given by its id or by its full name."""
        if re.fullmatch(r"[\w-]+", identifier):
            return f"{self.parent}/{kind}/{identifier}"
        if re.fullmatch(rf"projects/[^/]+/locations/{self.location}/{kind}/[\w-]+", identifier):
            return identifier
        expected = f"an id, or {self.parent}/{kind}/ID"
        raise InputError(kind, repr(identifier), expected, f"{LIST} shows them.")


@contextlib.contextmanager
def sentences(where: Where, doing: str, shown_by: str = LIST) -> Iterator[None]:
    """Turns what Google Cloud answers, or that nothing answers, into an InputError.

    Args:
        where: Whose Vertex AI.
        doing: For the sentence, such as "submitting the run".
        shown_by: What shows whether it was done all the same, and what there is.
    """
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    try:
        yield
    except (auth.TransportError, api.RetryError, api.GatewayTimeout, api.ServiceUnavailable, OSError) as error:
        remedy = f"Check the network and --region; {shown_by} shows whether it was done all the same."
        raise InputError(doing, f"no answer from {where.address} ({_said(error)})", "one in time", remedy) from error
    except (auth.GoogleAuthError, api.Unauthenticated) as error:
        raise InputError(doing, f"expired or refused credentials ({_said(error)})", "valid ones", LOGIN) from error
    except api.Forbidden as error:
        raise InputError(doing, f"a refusal: {_said(error)}", "permission", _permit(where, str(error))) from error
    except api.NotFound as error:
        remedy = f"Look for its id with {shown_by}."
        raise InputError(doing, f"nothing there: {_said(error)}", "one that exists", remedy) from error
    except api.TooManyRequests as error:
        remedy = "Ask for more under IAM & Admin, Quotas, or run less at once."
        raise InputError(doing, f"an exhausted quota: {_said(error)}", "room in the quota", remedy) from error
    except api.ServerError as error:
        remedy = f"Try again later; {shown_by} shows whether it was done all the same."
        raise InputError(doing, f"a failure of Vertex AI itself: {_said(error)}", "an answer", remedy) from error
    except api.GoogleAPICallError as error:
        raise InputError(doing, f"a refusal: {_said(error)}", "what Vertex AI accepts", "Correct that.") from error


def _permit(where: Where, text: str) -> str:
    if "SERVICE_DISABLED" in text or "has not been used" in text:
        return f"Run gcloud services enable aiplatform.googleapis.com --project {where.project_id}"
    return (
        f"Grant it, for example gcloud projects add-iam-policy-binding {where.project_id} "
        "--member user:YOU --role roles/aiplatform.user"
    )


def _said(error: BaseException) -> str:
    """The message alone, without the call, on one line and not endless."""
    text = " ".join(str(getattr(error, "message", None) or error).split())
    text = re.sub(r"^[A-Z]+ https?://\S+: ", "", text).rstrip(".")
    return f"{text[:400]}…" if len(text) > 400 else text

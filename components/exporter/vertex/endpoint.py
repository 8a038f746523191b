"""An endpoint: versions of the model behind one address, and the share of the traffic that each gets."""

from dataclasses import dataclass
from typing import Any

from components.common import checks
from components.common.errors import InputError
from components.common.google import SECONDS, Where, sentences
from components.exporter.vertex import calls, versions

MACHINE = "n1-standard-4"
MACHINE_TYPE = r"[a-z][a-z0-9]*(-[a-z0-9]+)+"
MOST_REPLICAS = 1000


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Where and how a version is served.

    Args:
        endpoint_name: The endpoint's display name; it is created if there is none.
        traffic: Percent of the requests that the version gets; the version that has most of them now keeps the rest.
        serving_machine: Machine type of a replica.
        min_replicas: Replicas that are always there.
        max_replicas: Replicas that load may add up to; 0 is as many as min_replicas.
        serving_account: Service account of the containers; by default Vertex AI's own.
    """

    endpoint_name: str
    traffic: int = 100
    serving_machine: str = MACHINE
    min_replicas: int = 1
    max_replicas: int = 0
    serving_account: str = ""

    def check(self) -> None:
        """Raises InputError at a name, a share or a number that Vertex AI would refuse."""
        calls.expect_display_name("--endpoint-name", self.endpoint_name)
        if not 0 <= self.traffic <= 100:
            raise InputError("--traffic", str(self.traffic), "a percentage, 0 to 100", "Correct the share.")
        calls.expect_name("--serving-machine", self.serving_machine, MACHINE_TYPE, "one such as n1-standard-4")
        if not 1 <= self.min_replicas <= (self.max_replicas or self.min_replicas) <= MOST_REPLICAS:
            found = f"--min-replicas {self.min_replicas}, --max-replicas {self.max_replicas}"
            raise InputError("replicas", found, f"1 <= min <= max <= {MOST_REPLICAS}", "Correct the numbers.")
        checks.account("--serving-account", self.serving_account)

    @property
    def resources(self) -> Any:
        from google.cloud.aiplatform_v1 import DedicatedResources

        machine, most = {"machine_type": self.serving_machine}, self.max_replicas or self.min_replicas
        return DedicatedResources(machine_spec=machine, min_replica_count=self.min_replicas, max_replica_count=most)


def deploy(where: Where, version: Any, deployment: Deployment) -> Any:
    """Serves a version, and takes down versions that have no traffic left, but for the champion and the one before.

    Running it again changes nothing, or only the traffic.

    Args:
        where: Whose Vertex AI.
        version: A version's Model.
        deployment: Where and how.

    Returns:
        The endpoint, a google.cloud.aiplatform_v1.Endpoint.

    Raises:
        InputError: for what the user can put right.
    """
    from google.cloud.aiplatform_v1 import EndpointServiceClient

    deployment.check()
    client, display_name = where.client(EndpointServiceClient), deployment.endpoint_name
    with sentences(where, f"deploying to {display_name}", calls.SHOWN_BY):
        endpoint = calls.again(lambda: _found_or_created(where, client, display_name), "creating the endpoint")
        known = _versions(where, version)
        given = deployment.traffic, deployment.resources, deployment.serving_account
        give(client, endpoint.name, version, *given, rest=_champion(known, version))
        _clear(client, endpoint.name, version, _ways_back(known, version))
        endpoint = client.get_endpoint(name=endpoint.name, timeout=SECONDS)
    said = ", ".join(f"version {number} {share}%" for number, share in shares_of(endpoint).items())
    page = where.console(f"online-prediction/locations/{where.location}/endpoints/{calls.identifier(endpoint.name)}")
    print(f"{display_name}: {said}\n{page}")
    return endpoint


def give(
    client: Any, name: str, version: Any, traffic: int, resources: Any, account: str = "", rest: Any | None = None
) -> None:
    """Gives a version a share of an endpoint's traffic, and deploys it if it is not.

    Args:
        client: EndpointServiceClient.
        name: The endpoint's.
        version: A version's Model.
        traffic: Its share in percent, 100 where nothing else is deployed.
        resources: What it is deployed on.
        account: Service account of its containers.
        rest: The version that gets the rest if it is deployed; else the one that has most traffic now.
    """
    from google.cloud.aiplatform_v1 import DeployedModel, Endpoint

    def attempt() -> None:
        endpoint = client.get_endpoint(name=name, timeout=SECONDS)
        there = deployed(endpoint, version)
        keeps = deployed(endpoint, rest) if rest else None
        split = traffic_split(endpoint, there.id if there else "0", traffic, keeps.id if keeps else "")
        if there is None:
            model = DeployedModel(
                model=versions.versioned(version),
                display_name=f"{version.display_name} {version.version_id}"[:128],
                dedicated_resources=resources,
                service_account=account,
            )
            operation = client.deploy_model(endpoint=name, deployed_model=model, traffic_split=split, timeout=SECONDS)
            calls.done(operation, f"Deploying version {version.version_id}")
        elif split != {key: share for key, share in endpoint.traffic_split.items() if share}:
            changed = Endpoint(name=name, traffic_split=split, etag=endpoint.etag)
            client.update_endpoint(endpoint=changed, update_mask={"paths": ["traffic_split"]}, timeout=SECONDS)

    calls.again(attempt, f"deploying version {version.version_id}")


def traffic_split(endpoint: Any, deployed_id: str, traffic: int, rest: str = "") -> dict[str, int]:
    """Percent by deployed model: `traffic` for one, the rest for `rest`, or for the one with most now; 100 in all."""
    others = [model for model in endpoint.deployed_models if model.id != deployed_id]
    if not others:
        return {deployed_id: 100}
    most = max(others, key=lambda model: (endpoint.traffic_split.get(model.id, 0), int(model.model_version_id or 0)))
    keeps = rest if rest and rest != deployed_id else most.id
    return {key: share for key, share in {deployed_id: traffic, keeps: 100 - traffic}.items() if share}


def deployed(endpoint: Any, version: Any) -> Any | None:
    """The deployed model of a version, or None."""
    model = calls.identifier(version.name)
    return next(
        (
            each
            for each in endpoint.deployed_models
            if calls.identifier(each.model) == model and each.model_version_id == version.version_id
        ),
        None,
    )


def shares_of(endpoint: Any) -> dict[str, int]:
    """Percent of an endpoint's traffic by the model's version, those without any included."""
    split = endpoint.traffic_split
    return {each.model_version_id: split.get(each.id, 0) for each in endpoint.deployed_models}


def find(where: Where, client: Any, display_name: str) -> Any | None:
    """The endpoint of a display name, or None."""
    return calls.named("--endpoint-name", display_name, client.list_endpoints(parent=where.parent, timeout=SECONDS))


def _found_or_created(where: Where, client: Any, display_name: str) -> Any:
    from google.cloud.aiplatform_v1 import Endpoint

    found = find(where, client, display_name)
    if found is None:
        made = Endpoint(display_name=display_name)
        operation = client.create_endpoint(parent=where.parent, endpoint=made, timeout=SECONDS)
        found = calls.done(operation, f"Creating the endpoint {display_name}")
    return found


def _versions(where: Where, version: Any) -> list[Any]:
    from google.cloud.aiplatform_v1 import ModelServiceClient

    name = versions.name_of(where, calls.identifier(version.name))
    return versions.of(where.client(ModelServiceClient), name)


def _champion(known: list[Any], version: Any) -> Any | None:
    """The champion, or the one before where the version is champion itself."""
    champion = versions.champion_of(known)
    if champion and champion.version_id == version.version_id:
        return versions.numbered(known, champion.labels.get(versions.BEFORE, versions.NONE))
    return champion


def _ways_back(known: list[Any], version: Any) -> set[str]:
    """Numbers of the versions that a rollback may need: the champion, and the one before the version."""
    champion = versions.champion_of(known)
    before = {each.labels.get(versions.BEFORE, "") for each in known if each.version_id == version.version_id}
    return before | ({champion.version_id} if champion else set())


def _clear(client: Any, name: str, version: Any, kept: set[str]) -> None:
    """Takes down versions of the model that have no traffic, but for the version itself and those that are kept."""
    kept = kept | {version.version_id}

    def attempt() -> None:
        endpoint = client.get_endpoint(name=name, timeout=SECONDS)
        for each in endpoint.deployed_models:
            ours = calls.identifier(each.model) == calls.identifier(version.name)
            if ours and each.model_version_id not in kept and not endpoint.traffic_split.get(each.id, 0):
                operation = client.undeploy_model(endpoint=name, deployed_model_id=each.id, timeout=SECONDS)
                calls.done(operation, f"Taking down version {each.model_version_id}")

    calls.again(attempt, "taking down versions without traffic")

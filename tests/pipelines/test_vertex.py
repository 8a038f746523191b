"""The commands against Vertex AI on this machine: what the server received, what the user is told, the exit code."""

import json
from pathlib import Path

from tests.pipelines.vertex_cli import PARAMETERS, Commands, run_id

PARENT = "projects/my-project/locations/europe-west3"
ACCOUNT = "recs@my-project.iam.gserviceaccount.com"
NETWORK = "projects/1234/global/networks/shop"


def test_submit_sends_everything_that_was_asked_for(commands: Commands, tmp_path: Path) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_text("purchases: my-project.shop.purchases\nlearning_rate: 1e-2\nepochs: 3\nks: [5, 10]\n")
    result = commands.submit(
        *("--parameters-file", str(file), "--parameters", "products=my-project.shop.products", "epochs=7"),
        *("--service-account", ACCOUNT, "--network", NETWORK, "--labels", "team=recs", "env=проба"),
        *("--failure-policy", "fast"),
    )
    assert result.code == 0, result.err
    (job,) = commands.created
    assert job["serviceAccount"] == ACCOUNT
    assert job["network"] == NETWORK
    assert job["labels"] == {"team": "recs", "env": "проба"}
    runtime = job["runtimeConfig"]
    assert runtime["gcsOutputDirectory"] == "gs://bucket/runs"
    assert runtime["failurePolicy"] in ("PIPELINE_FAILURE_POLICY_FAIL_FAST", 2)
    values = runtime["parameterValues"]
    assert values.pop("feature_config") == Path("feature_config.yaml").read_text()
    expected = {"purchases": "my-project.shop.purchases", "products": "my-project.shop.products"}
    assert values == {**expected, "epochs": 7, "learning_rate": 0.01, "ks": [5, 10]}
    run = run_id(result.out)
    assert f"{PARENT}/pipelineJobs/{run}" in commands.server.resources
    console = "https://console.cloud.google.com/vertex-ai/locations/europe-west3/pipelines/runs"
    assert f"{console}/{run}?project=my-project" in result.out
    assert job["pipelineSpec"] == json.loads((commands.folder / "pipeline.json").read_text())


def test_no_caching_reruns_every_step(commands: Commands) -> None:
    assert commands.submit(*PARAMETERS, "--no-caching").code == 0
    (job,) = commands.created
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    assert len(tasks) == 5
    assert not any(task.get("cachingOptions", {}).get("enableCache") for task in tasks.values())


def test_rerun_imports_the_artifacts_it_is_given(commands: Commands) -> None:
    result = commands(
        *("rerun", "evaluator", "--folder", str(commands.folder / "reruns"), "--pipeline-root", "gs://bucket/reruns"),
        *("--input", "model=gs://bucket/1/model", "examples=gs://bucket/2/examples", "vocabularies=gs://bucket/1/v"),
        *("--parameters", "must_beat=none", "--no-preflight", "--no-estimate"),
    )
    assert result.code == 0, result.err
    (job,) = commands.created
    expected = {
        "model": "gs://bucket/1/model",
        "examples": "gs://bucket/2/examples",
        "vocabularies": "gs://bucket/1/v",
        "must_beat": "none",
    }
    assert job["runtimeConfig"]["parameterValues"] == expected
    assert job["displayName"] == "metro-recs-rerun-evaluator"


def test_experiment_gets_the_run(commands: Commands) -> None:
    store = f"{PARENT}/metadataStores/default"
    for _ in range(2):  # made by the first, found by the second
        result = commands.submit(*PARAMETERS, "--experiment", "autumn")
        assert result.code == 0, result.err
        run = run_id(result.out)
        assert commands.server.resources[f"{store}/contexts/{run}"]["parentContexts"] == [f"{store}/contexts/autumn"]
    assert commands.server.resources[f"{store}/contexts/autumn"]["schemaTitle"] == "system.Experiment"
    # The pipeline's own context: the run is submitted, and its submitter told so.
    other = commands.submit(*PARAMETERS, "--experiment", "metro-recs-training")
    assert other.code == 0
    assert "The run is not in the experiment metro-recs-training" in other.out
    assert "a system.Pipeline" in other.out
    assert commands.submit(*PARAMETERS, "--experiment", "Autumn!").code == 2
    assert sum(path.endswith("/pipelineJobs") for method, path, _ in commands.server.requests if method == "POST") == 3

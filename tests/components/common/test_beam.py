import re

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, StandardOptions, WorkerOptions

from components.common import beam as beam_runs
from components.common.errors import InputError

DATAFLOW = "--runner=DataflowRunner --sdk_container_image=image:1 --project=p --region=europe-west3 --temp_location=gs://b/scratch"


def test_runs_here_by_default() -> None:
    options = beam_runs.options("")
    assert options.view_as(StandardOptions).runner == "FnApiRunner"
    assert not beam_runs.is_remote(options)


def test_ordinary_options_are_passed_through() -> None:
    options = beam_runs.options(f"{DATAFLOW} --machine_type=n2-standard-4 --no_use_public_ips")
    assert beam_runs.is_remote(options)
    assert options.view_as(WorkerOptions).sdk_container_image == "image:1"
    assert options.view_as(WorkerOptions).machine_type == "n2-standard-4"
    assert options.view_as(WorkerOptions).use_public_ips is False


@pytest.mark.parametrize("name", ["sdk_container_image", "project", "region", "temp_location"])
def test_dataflow_needs_an_image_and_places(name: str) -> None:
    text = " ".join(option for option in DATAFLOW.split() if not option.startswith(f"--{name}="))
    assert text != DATAFLOW
    with pytest.raises(InputError, match=f"beam_options, --{name}: found nothing, expected .*Add --{name}="):
        beam_runs.options(text)


def test_the_missing_image_is_named() -> None:
    with pytest.raises(InputError, match="the data image"):
        beam_runs.options("--runner=apache_beam.runners.dataflow.dataflow_runner.DataflowRunner")


def test_dataflows_temporary_files_lie_in_a_bucket() -> None:
    with pytest.raises(InputError, match=r"--temp_location: found '/scratch', expected gs://BUCKET"):
        beam_runs.options(DATAFLOW.replace("gs://b/scratch", "/scratch"))


def test_other_runners_need_nothing() -> None:
    assert not beam_runs.is_remote(beam_runs.options("--runner=DirectRunner --region=europe-west3"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("--runer=X", "runer"),
        ("FnApiRunner", "FnApiRunner"),
        ("--num_workers=many", "num_workers"),
        ("'", "beam_options"),
        ("--runner=Foo", "--runner: found 'Foo'"),
    ],
)
def test_bad_options(text: str, found: str) -> None:
    with pytest.raises(InputError, match=found):
        beam_runs.options(text)


def test_a_job_is_named_after_its_output_unless_it_has_a_name() -> None:
    def named(path: str, more: str = "") -> str:
        options = beam_runs.options(f"{DATAFLOW} {more}")
        beam_runs.name_job(options, path)
        return str(options.view_as(GoogleCloudOptions).job_name)

    assert re.fullmatch("metro-recs-[0-9a-f]{16}", named("gs://b/examples"))
    assert named("gs://b/examples") == named("gs://b/examples") != named("gs://b/examples2")
    assert named("gs://b/examples", "--job_name=mine") == "mine"


def fail(_: int) -> None:
    raise InputError("file", "damage", "none", "Write it again.")


def test_an_input_error_of_a_worker_comes_back_as_itself() -> None:
    with (
        pytest.raises(InputError, match=r"^file: found damage, expected none\. Write it again\.$"),
        beam_runs.explained(),
        beam.Pipeline(options=beam_runs.options("")) as pipeline,
    ):
        _ = pipeline | beam.Create([1]) | beam.Map(fail)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(ZeroDivisionError), beam_runs.explained():
        raise ZeroDivisionError

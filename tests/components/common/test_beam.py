import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import StandardOptions, WorkerOptions

from components.common import beam as beam_runs
from components.common.errors import InputError


def test_runs_here_by_default() -> None:
    options = beam_runs.options("")
    assert options.view_as(StandardOptions).runner == "FnApiRunner"
    assert not beam_runs.is_remote(options)


def test_ordinary_options_are_passed_through() -> None:
    text = "--runner=DataflowRunner --sdk_container_image=image:1 --machine_type=n2-standard-4 --no_use_public_ips"
    options = beam_runs.options(text)
    assert beam_runs.is_remote(options)
    assert options.view_as(WorkerOptions).sdk_container_image == "image:1"
    assert options.view_as(WorkerOptions).use_public_ips is False


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

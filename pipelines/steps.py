"""How each step runs, apart from what it computes: its share of a machine, its retries, whether a cache may answer."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from components.common.errors import InputError
from pipelines.machines import Machine

if TYPE_CHECKING:
    from kfp import dsl


class Step(NamedTuple):
    """What a step may use, as constants: KFP takes no parameters for limits.

    On Vertex AI the limits choose the machine; on Kubernetes the requests choose the node.
    """

    cpu: str
    memory: str
    retries: int
    cached: bool


STEPS = {
    "data-extractor": Step("4", "16G", 2, False),  # new rows in the same table must be seen
    "vocab-builder": Step("4", "16G", 2, True),
    "trainer": Step("8", "30G", 3, True),  # an n1-standard-8; a retry continues from the last checkpoint
    "evaluator": Step("4", "16G", 1, True),
    "exporter": Step("4", "16G", 1, False),  # a release is made, not remembered
}
RERUNS = "reruns"  # the folder of the pipelines that begin with artifacts that are there, PARTS
RETRAINING = "retraining"  # the pipeline from the Trainer on
PARTS = *STEPS, RETRAINING
REQUESTED_CPU, REQUESTED_MEMORY = "1", "4G"
MOST_RETRIES = 10
FIRST_WAIT, WAIT_FACTOR = "60s", 2.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the steps run.

    Args:
        machine: The Trainer's machine.
        retries: How often a step that failed is tried again, such as trainer=5; the others keep their defaults.
        uncached: Further steps, such as trainer, that always run; data-extractor and exporter always do.
    """

    machine: Machine = field(default_factory=Machine)
    retries: tuple[str, ...] = ()
    uncached: tuple[str, ...] = ()

    def checked(self) -> "Settings":
        """The same with everything that the machine type implies.

        Raises:
            InputError: an unknown step, a wrong number, or a machine that does not exist.
        """
        for name in self.uncached:
            _expect_step("--uncached", name)
        self.retries_by_step()
        return Settings(machine=self.machine.checked(), retries=self.retries, uncached=self.uncached)

    def retries_by_step(self) -> dict[str, int]:
        """Retries of every step."""
        chosen = {name: step.retries for name, step in STEPS.items()}
        for text in self.retries:
            name, _, count = text.partition("=")
            _expect_step("--retries", name)
            if not (count.isdecimal() and int(count) <= MOST_RETRIES):
                expected = f"{name}= and a whole number, 0 to {MOST_RETRIES}"
                raise InputError("--retries", text, expected, "Correct the number.")
            chosen[name] = int(count)
        return chosen


STANDARD = Settings()


def set_up(task: "dsl.PipelineTask", settings: Settings, is_rerun: bool = False) -> "dsl.PipelineTask":
    """Gives a task its share of a machine, its retries and its caching.

    Args:
        task: Of one of STEPS.
        settings: Checked.
        is_rerun: It was asked for by name, so no cache answers.
    """
    step, machine = STEPS[task.name], settings.machine
    task.set_caching_options(step.cached and not is_rerun and task.name not in settings.uncached)
    if retries := settings.retries_by_step()[task.name]:
        task.set_retry(retries, backoff_duration=FIRST_WAIT, backoff_factor=WAIT_FACTOR)
    is_trainer = task.name == "trainer"
    if is_trainer and machine.is_custom_job:
        return task  # the task only starts the job and waits for it
    task.set_cpu_limit((is_trainer and machine.trainer_cpu) or step.cpu)
    task.set_memory_limit((is_trainer and machine.trainer_memory) or step.memory)
    task.set_cpu_request(REQUESTED_CPU).set_memory_request(REQUESTED_MEMORY)
    if is_trainer and machine.accelerator:
        task.set_accelerator_type(machine.accelerator).set_accelerator_limit(machine.accelerator_count)
    return task


def on_machine(trainer: Any, machine: Machine) -> Any:
    """The Trainer's component, wrapped as a Vertex AI custom job where a machine type is chosen.

    The job runs the component's own command on every replica, with the same artifacts and parameters; KFP writes the
    outputs in the first one only. It runs as the pipeline's service account, in its network, under its key.
    """
    if not machine.is_custom_job:
        return trainer
    from google_cloud_pipeline_components import _placeholders as pipelines
    from google_cloud_pipeline_components.v1.custom_job import create_custom_training_job_from_component

    return create_custom_training_job_from_component(
        trainer,
        display_name="metro-recs-trainer",
        machine_type=machine.machine_type,
        accelerator_type=machine.accelerator,
        accelerator_count=machine.accelerator_count,
        replica_count=machine.replicas,
        strategy=machine.strategy.replace("-", "_").upper(),
        restart_job_on_worker_restart=machine.replicas > 1,  # the other workers cannot go on without one
        service_account=pipelines.SERVICE_ACCOUNT_PLACEHOLDER,
        network=pipelines.NETWORK_PLACEHOLDER,
        encryption_spec_key_name=pipelines.ENCRYPTION_SPEC_KMS_KEY_NAME_PLACEHOLDER,
    )


def _expect_step(flag: str, name: str) -> None:
    if name not in STEPS:
        raise InputError(flag, repr(name), f"one of {', '.join(STEPS)}", "Correct the name.")

"""What is wrong with the tables, all of it at once: a user who mends one fault a run needs as many runs as faults."""

from collections.abc import Sequence

from components.common.errors import InputError

MOST_SHOWN = 20


def refuse(faults: Sequence[InputError]) -> None:
    """Raises one InputError that holds all faults, or as many as can be read; nothing where there is none."""
    if not faults:
        return
    if len(faults) == 1:
        raise faults[0]
    lines = [f"- {fault}" for fault in faults[:MOST_SHOWN]]
    if len(faults) > MOST_SHOWN:
        lines.append(f"- and {len(faults) - MOST_SHOWN} more")
    remedy = "\n".join(["Mend all of them:", *lines])
    raise InputError("purchases and products", f"{len(faults)} faults", "none", remedy)

"""What goes wrong on purpose: refusals, operations that fail, and answers that are lost on their way."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["refusal", "operation", "answer"]


@dataclass
class Fault:
    """Calls by a method whose path has `part` in it go wrong, the next `times` of them.

    Args:
        kind: refusal, the call is answered with an error; operation, it starts an operation that fails, and nothing is
            made; answer, it is done, but its caller is told nothing.
        status: One of the names in vertex_state.CODES.
    """

    kind: Kind
    method: str
    part: str
    times: int = 1
    status: str = "UNAVAILABLE"
    message: str = "Try again later."


@dataclass
class Faults:
    """Those that are still to happen."""

    waiting: list[Fault] = field(default_factory=list)

    def add(
        self,
        kind: Kind,
        method: str,
        part: str,
        times: int = 1,
        status: str = "UNAVAILABLE",
        message: str = "Try again later.",
    ) -> Fault:
        self.waiting.append(Fault(kind, method, part, times, status, message))
        return self.waiting[-1]

    def take(self, kind: Kind, method: str, path: str) -> Fault | None:
        """The fault that happens to this call, if one does."""
        for fault in self.waiting:
            if fault.times and (fault.kind, fault.method) == (kind, method) and fault.part in path:
                fault.times -= 1
                return fault
        return None

import subprocess
import sys
from typing import Any

import pytest

from components.exporter import verify


@pytest.fixture
def proof_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof does not start a process of its own, for tests of what it finds.

    That it runs in one is tested where a release is made first, in test_export.
    """

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[:3] == [sys.executable, "-m", verify.__name__]
        verify.main(*command[3:])
        return subprocess.CompletedProcess(command, 0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)

"""Fixtures of the tests of reeve-worker-command: a manager that does what it is told, and workers."""
import pathlib
import secrets
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / part) for part in ("queues", "manager", "daemon", "faults"))]
import commands  # noqa: E402
from scripted import Scripted  # noqa: E402


@pytest.fixture
def scripted(broker):
    """Stands for a manager: gives jobs of queue q to the worker cmd-1 and records what it says."""
    return Scripted(broker, broker.node, "cmd-1")


@pytest.fixture
def start(broker, scripted, tmp_path):
    """start(argv=[...], ...) -> a CommandWorker of queue q that has said hello; ended with the test."""
    made = []

    def make(config=None, env=None, **keys):
        config = config if config is not None else {"queue": "q", "concurrency": 4, **keys}
        made.append(commands.CommandWorker(broker, tmp_path / "worker", config, env=env).start())
        seen = len(scripted.reports)
        try:
            scripted.client.wait(lambda: any(r.get("hello") for r in scripted.reports[seen:]), what="hello")
        except AssertionError as late:
            raise AssertionError(f"{late}; {made[-1].log()[-2000:]}") from late
        return made[-1]
    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def mark():
    """Put into the environment of a command (`env`), so that all that descends from it is found."""
    return secrets.token_hex(8)

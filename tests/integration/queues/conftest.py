"""Fixtures of the tests of queues: broker, nodes and managers as the manager's tests have them; workers; and a queue with the history of
what was acknowledged and done."""
import importlib.util
import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent / part) for part in ("manager", "daemon", "faults")]
_spec = importlib.util.spec_from_file_location("manager_conftest", HERE.parent / "manager/conftest.py")
_manager = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_manager)
names, broker, make_node, make_manager = _manager.names, _manager.broker, _manager.make_node, _manager.make_manager

import queues  # noqa: E402
from scripted import WORKERS  # noqa: E402


@pytest.fixture
def manager(make_manager):
    return make_manager(log_level=os.environ.get("REEVE_TEST_LOG", "info"))


@pytest.fixture
def steer(broker):
    """Somebody with the admin's rights, who reads no reports: of those there are many."""
    control = queues.JobSteer(broker)
    yield control
    control.close()


@pytest.fixture
def make_queue(broker, manager, steer):
    """make_queue("q", concurrency=4) -> a Queue that is applied."""
    made = []

    def make(name="q", **spec):
        made.append(queues.Queue(broker, manager, steer, name))
        made[-1].apply(**spec)
        return made[-1]
    yield make
    for queue in made:
        queue.close()


@pytest.fixture(params=["python"])
def kind(request):
    """Of the workers; `queues.both` makes it the Python client and the SDK."""
    return request.param


@pytest.fixture
def make_worker(broker, names, tmp_path, kind):
    """make_worker("w-1", queues={"q": 2}) -> a started worker of the first node, a plain process."""
    made = []

    def make(name="w-1", start=True, **options):
        options.setdefault("jobs_file", str(tmp_path / "jobs.jsonl"))
        options.setdefault("heartbeat_ms", 1000)
        made.append(WORKERS[kind](broker, tmp_path / f"worker-{name}", name=name, **options))
        return made[-1].start() if start else made[-1]
    yield make
    for one in made:
        one.close()

"""10,000 jobs (100,000 with REEVE_LONG=1) while manager, broker, daemons and workers are each killed again and again at random moments: at
the end no acknowledged job is missing, each has exactly one accepted completion, and no fenced report was believed."""
import os
import pathlib
import time

import chaos
import harness
import pytest
import queues
from checker import Limits
from scripted import read_lines

LONG = os.environ.get("REEVE_LONG") == "1"
JOBS = int(os.environ.get("REEVE_JOBS", 100_000 if LONG else 10_000))
FEEDERS = 4
RESTART = {"policy": "always", "initial": "50ms", "max": "200ms", "limit": 0}
JOURNAL = str(pathlib.Path(__file__).parent / "journal_worker.py")


def make(feeder, n):
    """Most are small; some wait, fail once, go in steps, pay, or have a key whose order counts."""
    job = {"id": f"{feeder}-{n}", "type": "echo", "payload": {"value": n}}
    if n % 5 == 0:
        job.update(key=f"{feeder}-k{n % 3}", payload={"value": n, "key": f"{feeder}-k{n % 3}"})
    elif n % 17 == 0:
        job.update(type="fail", payload={"times": 1, "delay_ms": 20})
    elif n % 19 == 0:
        job.update(type="sleep", payload={"ms": 20})
    elif n % 23 == 0:
        job.update(type="steps", payload={"steps": 3})
    elif n % 101 == 0:
        job.update(type="pay")
    return job


@pytest.fixture
def fleet(names, make_node, tmp_path):
    """Two nodes, each with a worker in C and one in Python."""
    jobs_file = str(tmp_path / "jobs.jsonl")
    made = []
    for name in names[:2]:
        workers = [{"name": "py", "type": "journal", "command": ["/usr/bin/python3", "-B", JOURNAL], "ready": {"mode": "notify"},
                    "restart": RESTART, "env": {"REEVE_HEARTBEAT_MS": "1000"},
                    "config": {"queues": {"q": 8}, "prefetch": 24, "jobs_file": jobs_file}}]
        workers.append({"name": "c", "type": "probe", "ready": {"mode": "notify"}, "restart": RESTART, "env": {"REEVE_HEARTBEAT_MS": "1000"},
                        "config": {"queues": [{"queue": "q", "concurrency": 8, "prefetch": 24}], "jobs_file": jobs_file}})
        made.append(make_node(name, workers=workers, log_level="info"))
    return made, jobs_file


@pytest.mark.parametrize("jobs", [JOBS])
def test_exactly_what_was_acknowledged_is_done(fleet, broker, manager, make_queue, jobs):
    made, jobs_file = fleet
    seed = chaos.seed()
    queue = make_queue("q", attempts=100, poison_after=100, backoff={"kind": "fixed", "delay": "20ms"}, keep_completed={"count": 0})
    begun = time.monotonic()
    with chaos.Nemesis(seed, queue, broker, manager, made) as nemesis:
        feeders = [chaos.Feeder(queue, f"p{i}", jobs // FEEDERS, make) for i in range(FEEDERS)]
        for feeder in feeders:
            feeder.join()
        harness.wait_until(lambda: all(nemesis.kills[kind] for kind in chaos.WEIGHTS), 120, f"a kill of each: {nemesis.kills}", 0.1)
    given = time.monotonic()
    manager.wait_log("ready=true")
    queue.settle(300 if LONG else 120)
    lines = read_lines(jobs_file)
    queues.report("chaos", jobs=jobs, kills=dict(nemesis.kills), s=round(time.monotonic() - begun, 1), given_s=round(given - begun, 1),
                  batches_asked_again=sum(feeder.repeats for feeder in feeders),
                  attempts_beyond_the_first=sum(line["attempt"] > 1 for line in queues.starts(lines)))
    assert len(queue.acknowledged) == FEEDERS * (jobs // FEEDERS)
    queue.check(lines, Limits(stale_start=5))

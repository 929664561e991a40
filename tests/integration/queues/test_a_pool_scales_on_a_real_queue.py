"""The autoscaler of pools reads what the manager says of its queues: a pool grows while jobs wait, works them off and shrinks again."""
import pathlib

import harness

WORKER = ["/usr/bin/python3", "-B", str(pathlib.Path(__file__).parent / "journal_worker.py")]
JOBS = 30


def test_it_grows_with_the_queue_and_shrinks_when_it_is_done(make_queue, make_node, names, steer, tmp_path):
    make_node(names[0])
    queue = make_queue("q")
    template = {"type": "journal", "command": WORKER, "ready": {"mode": "notify"}, "stop": {"grace": "5s"},
                "config": {"queues": {"q": 1}, "prefetch": 0, "jobs_file": str(tmp_path / "jobs.jsonl")}}
    steer.pool("demo", "apply", {"template": template, "min": 0, "max": 4, "size": 0, "scaling": {
        "queue": "q", "up_above": 2, "down_below": 1, "up_by": 2, "down_by": 4, "cooldown": "1s"}})
    queue.add(*[{"id": f"s{i}", "type": "sleep", "payload": {"ms": 500}} for i in range(JOBS)])
    explained = queue.op("explain", {"id": "s0"})
    assert "no worker takes" in explained["why"], explained
    steer.wait_pool("demo", lambda s: s["size"] >= 3)
    assert queue.wait_status(lambda s: s["workers"] >= 3)["service_ms"] >= 0
    busy = queue.wait_status(lambda s: s["completed"] >= 3 and s["waiting"] > 0)
    assert 400 < busy["service_ms"] < 3000 and busy["oldest_ms"] > 0 and busy["workers_in_use"] >= 1, busy
    queue.settle()
    assert queue.wait_status(lambda s: s["completed"] == JOBS)["waiting"] == 0
    steer.wait_ready("demo", 0, deadline=harness.DEADLINE * 2)
    assert queue.show("s0")["state"] == "completed"

"""A producer that does not wait for its answers: memory stays bounded everywhere, what is too much is refused with the reason, and other queues
go on working meanwhile."""
import pathlib
import subprocess
import time

import harness
import nodes
import queues

JOBS_MAX = 20_000
MESSAGES, JOBS, BYTES = 2000, 100, 400  # 80 MB, ten times as many jobs as the queue takes


def rss(pid):
    for line in nodes.read_proc(pid, "status").splitlines():
        if line.startswith(b"VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def test_other_queues_work_while_one_is_flooded(make_queue, make_worker, broker, manager):
    flooded, calm = make_queue("flooded", jobs_max=JOBS_MAX), make_queue("calm")
    make_worker(queues={"calm": 4})
    calm.add({"id": "ready", "type": "echo"})
    calm.wait_state("ready", "completed")
    before = {"manager": rss(manager.pid), "broker": rss(broker.process.pid)}
    producer, took, highest, n = calm.producer(), [], dict(before), 0
    words = [broker.port, "producer", broker.users["producer"], broker.root, "flooded", MESSAGES, JOBS, BYTES]
    flood = subprocess.Popen(["/usr/bin/python3", "-B", pathlib.Path(__file__).parent / "flood.py", *map(str, words)])
    try:
        while flood.poll() is None:
            at = time.monotonic()
            producer.enqueue("calm", "echo", {"value": n}, id=f"c{n}", timeout=60)
            took.append(time.monotonic() - at)
            n += 1
            for name, pid in (("manager", manager.pid), ("broker", broker.process.pid)):
                highest[name] = max(highest[name], rss(pid))
            time.sleep(0.005)
    finally:
        flood.kill()
        assert flood.wait(harness.DEADLINE) == 0
    calm.acknowledged += [{"queue": "calm", "job": f"c{i}"} for i in range(n)]
    calm.settle()
    p50, p99, most = queues.spread(took)
    queues.report("flood", p50_ms=p50, p99_ms=p99, max_ms=most, manager_mib=[before["manager"] >> 20, highest["manager"] >> 20],
                  broker_mib=[before["broker"] >> 20, highest["broker"] >> 20], asked=n)
    status = flooded.wait_status(lambda s: s["waiting"] == JOBS_MAX)
    assert flooded.live() == JOBS_MAX == status["waiting"]
    flooded.refused("enqueue", {"type": "nobody-does-this"}, "limit", "full")
    assert highest["manager"] - before["manager"] < 150 << 20, highest
    assert highest["broker"] - before["broker"] < 150 << 20, highest
    assert {row["state"] for row in calm.rows()} == {"completed"} and len(calm.rows()) == n + 1


def test_a_worker_that_takes_nothing_is_given_no_more_than_it_said(make_queue, make_worker):
    queue = make_queue("q")
    worker = make_worker(queues={"q": 2}, prefetch=3)
    queue.add(*({"id": f"h{n}", "type": "hold"} for n in range(50)))
    worker.wait_line("start", count=2)
    status = queue.wait_status(lambda s: s["active"] == 5)
    assert status["waiting"] == 45
    queue.op("cancel", {"ids": [f"h{n}" for n in range(50)]})
    queue.settle()

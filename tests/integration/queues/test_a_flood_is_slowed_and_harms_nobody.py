"""A producer that does not wait for its answers: memory stays bounded everywhere, what is too much is refused with the reason, and other queues
go on working meanwhile."""
import threading
import time

import msgpack
import nodes
import queues

JOBS_MAX = 20_000
MESSAGES, JOBS, BYTES = 600, 100, 1000  # 60 MB, three times what the queue takes


def rss(pid):
    for line in nodes.read_proc(pid, "status").splitlines():
        if line.startswith(b"VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def flood(broker, done):
    """Enqueue after enqueue, as fast as the broker takes them, and no look at any answer."""
    client = broker.client("producer")
    try:
        for n in range(MESSAGES):
            jobs = [{"id": f"f{n}-{i}", "type": "nobody-does-this", "payload": "x" * BYTES} for i in range(JOBS)]
            body = {"id": f"flood-{n}", "reply_to": broker.topic(f"reply/producer/flood-{n}"), "args": {"jobs": jobs}}
            client.publish(broker.topic("queue/flooded/cmd/enqueue"), msgpack.packb(body), wait=n % 50 == 49)
    finally:
        done.set()


def test_other_queues_work_while_one_is_flooded(make_queue, make_worker, broker, manager):
    flooded, calm = make_queue("flooded", jobs_max=JOBS_MAX), make_queue("calm")
    make_worker(queues={"calm": 4})
    calm.add({"id": "ready", "type": "echo"})
    calm.wait_state("ready", "completed")
    before = {"manager": rss(manager.pid), "broker": rss(broker.process.pid)}
    producer, done, took, highest = calm.producer(), threading.Event(), [], dict(before)
    flooder = threading.Thread(target=flood, args=(broker, done))
    flooder.start()
    n = 0
    while not done.is_set() or n < 50:
        at = time.monotonic()
        producer.enqueue("calm", "echo", {"value": n}, id=f"c{n}", timeout=30)
        took.append(time.monotonic() - at)
        n += 1
        for name, pid in (("manager", manager.pid), ("broker", broker.process.pid)):
            highest[name] = max(highest[name], rss(pid))
        done.wait(0.02)
    flooder.join()
    calm.acknowledged += [{"queue": "calm", "job": f"c{i}"} for i in range(n)]
    calm.settle()
    p50, p99, most = queues.spread(took)
    queues.report("flood", p50_ms=p50, p99_ms=p99, max_ms=most, manager_mib=[before["manager"] >> 20, highest["manager"] >> 20],
                  broker_mib=[before["broker"] >> 20, highest["broker"] >> 20], jobs=n)
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

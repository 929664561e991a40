"""A backlog of 1,000,000 jobs (REEVE_LONG=1; 20,000 else): what the manager needs of memory, how long it takes to start, and how fast jobs are done
with and without it. Memory and start are asserted for the long run, the figures printed."""
import os
import time

import queues

LONG = os.environ.get("REEVE_LONG") == "1"
BACKLOG = int(os.environ.get("REEVE_JOBS", 1_000_000 if LONG else 20_000))
TIMED = 10_000 if LONG else 2_000


def fill(queue, count):
    """Of a type that nobody does, below what is timed."""
    producer, sent = queue.producer(), []
    for first in range(0, count, 4096):
        jobs = [{"type": "later", "priority": 0, "payload": {"n": n}} for n in range(first, min(first + 4096, count))]
        sent.append(producer.enqueue_send(queue.name, jobs, brief=True))
        if len(sent) > 4:
            sent.pop(0).wait(120)
    for one in sent:
        one.wait(120)


def timed(queue, worker, mark):
    """Jobs a second, from the first enqueue to the last end."""
    producer = queue.producer()
    begun = time.monotonic()
    for first in range(0, TIMED, 1000):
        producer.enqueue_many(queue.name, [{"id": f"{mark}-{n}", "type": "echo", "priority": 9} for n in range(first, first + 1000)])
    last = queues.harness.wait_until(lambda: _ended(worker, mark), 120, f"{TIMED} jobs {mark}", 0.05)
    return TIMED / (last - begun)


def _ended(worker, mark):
    ends = [line["at"] for line in worker.lines() if line["event"] == "end" and line["job"].startswith(f"{mark}-")]
    return max(ends) if len(ends) == TIMED else None


def test_a_backlog_costs_memory_within_bounds_and_neither_start_nor_speed(make_queue, make_worker, manager):
    queue = make_queue("q", keep_completed={"age": "1s"})
    worker = make_worker(queues={"q": 16}, prefetch=200)
    queue.wait_workers(1)
    empty = timed(queue, worker, "empty")
    begun = time.monotonic()
    fill(queue, BACKLOG)
    filled = time.monotonic() - begun
    full = timed(queue, worker, "full")
    size = manager.rss()
    manager.kill()
    begun = time.monotonic()
    manager.start()
    start = time.monotonic() - begun
    after = manager.rss()
    assert queue.wait_status(lambda s: s["waiting"] >= BACKLOG)["waiting"] == BACKLOG
    queue.wait_workers(1)
    again = timed(queue, worker, "again")
    queues.report("backlog", jobs=BACKLOG, filled_per_s=round(BACKLOG / filled), rss_mib=size >> 20, rss_after_start_mib=after >> 20,
                  start_s=round(start, 2), per_s_empty=round(empty), per_s_full=round(full), per_s_after_start=round(again))
    if LONG:
        assert max(size, after) <= 300 << 20
        assert start <= 5
        assert full >= 0.8 * empty
    queue.purge()
    queue.settle(120)

"""Priorities, delays and dependencies: what is given out when."""
import os
import random
import time

import pytest
import queues

LONG = os.environ.get("REEVE_LONG") == "1"


def order(lines):
    return [line["job"] for line in queues.starts(lines)]


def test_of_what_waits_the_highest_priority_goes_first_and_of_one_the_oldest(make_queue, make_worker):
    queue = make_queue("q")
    queue.op("pause")
    rng = random.Random(7)
    # Of several types: each has lines of its own.
    jobs = [{"id": f"j{n}", "type": rng.choice(["echo", "sleep"]), "payload": {"ms": 0}, "priority": rng.randrange(10)} for n in range(60)]
    queue.add(*jobs)
    worker = make_worker(queues={"q": 1}, prefetch=0)
    queue.wait_status(lambda s: s["waiting"] == 60)
    assert "pause" in str(queue.op("explain", {"id": "j0"})).lower()
    queue.op("resume")
    queue.settle()
    assert order(worker.lines()) == [job["id"] for job in sorted(jobs, key=lambda job: -job["priority"])]
    queue.check(worker.lines())


@queues.both
def test_a_delay_is_kept_to_a_few_milliseconds_and_never_cut_short(make_queue, make_worker):
    queue = make_queue("q")
    worker = make_worker(queues={"q": 8})
    worker.wait_line("start", "ready") if queue.add({"id": "ready", "type": "echo"}) else None
    rng, due = random.Random(3), {}
    for n in range(200 if LONG else 100):
        due[f"j{n}"] = int(time.time() * 1000) + 300 + rng.randrange(1500)
    queue.add(*({"id": id, "type": "echo", "run_at": at} for id, at in due.items()))
    queue.settle()
    offset = time.time() - time.monotonic()
    late = [line["at"] + offset - due[line["job"]] / 1000 for line in queues.starts(worker.lines()) if line["job"] in due]
    p50, p99, highest = queues.spread(late)
    queues.report("delay", jobs=len(late), p50_ms=p50, p99_ms=p99, max_ms=highest)
    assert len(late) == len(due) and min(late) >= -0.002  # the milliseconds of two clocks
    queue.check(worker.lines())


@pytest.mark.parametrize("killed", [False, True], ids=["", "manager-killed"])
def test_a_delay_is_counted_from_enqueue_also_across_a_killed_manager(make_queue, make_worker, manager, killed):
    queue = make_queue("q")
    worker = make_worker()
    at = time.monotonic()
    queue.add({"id": "d", "type": "echo", "delay_ms": 1500})
    assert queue.show("d")["state"] == "delayed"
    if killed:
        manager.kill()
        manager.start()
    line = worker.wait_line("start", "d")
    assert line["at"] - at >= 1.499
    queue.settle()


def test_a_job_waits_for_those_that_it_comes_after(make_queue, make_worker, manager):
    queue = make_queue("q")
    queue.op("pause")
    queue.add({"id": "a", "type": "sleep", "payload": {"ms": 100}}, {"id": "b", "type": "echo"},
              {"id": "c", "type": "echo", "after": ["a", "b"], "priority": 9}, {"id": "d", "type": "echo", "after": ["c"], "priority": 9})
    manager.kill()
    manager.start()
    assert "a" in str(queue.op("explain", {"id": "c"}))
    worker = make_worker(queues={"q": 4})
    queue.op("resume")
    queue.settle()
    ended = [line["job"] for line in worker.lines() if line["event"] == "end"]
    begun = order(worker.lines())
    assert begun.index("c") > max(begun.index("a"), begun.index("b")) and ended.index("a") < len(ended) - 2 and begun[-2:] == ["c", "d"]
    queue.check(worker.lines())


def test_within_a_window_what_has_the_same_dedupe_key_is_one(make_queue):
    queue = make_queue("q")
    first = queue.op("enqueue", {"jobs": [{"id": "a", "type": "echo", "dedupe": {"key": "k", "window_ms": 1200}}]})
    again = queue.op("enqueue", {"jobs": [{"id": "b", "type": "echo", "dedupe": {"key": "k", "window_ms": 1200}}]})
    assert (first["accepted"], again["accepted"], again["duplicates"]) == (1, 0, 1)
    queues.harness.wait_until(lambda: queue.op("enqueue", {"jobs": [{"id": f"c{time.monotonic_ns()}", "type": "echo", "dedupe": {
        "key": "k", "window_ms": 1200}}]})["accepted"], what="the window to end", interval=0.2)

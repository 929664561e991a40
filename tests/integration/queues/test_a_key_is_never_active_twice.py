"""`key`: one active job per key, in order, whatever is killed [job-8]; `concurrency` and `rate` hold exactly under bursts."""
import random
import time

import chaos
import queues
from checker import Limits


@queues.both
def test_one_of_a_key_in_order_under_kills(make_queue, make_worker, manager, names):
    queue = make_queue("q", poison_after=1000, attempts=100, backoff={"kind": "fixed", "delay": "10ms"})
    rng = random.Random(chaos.seed())
    workers = [make_worker(f"w-{n}", queues={"q": 6}, prefetch=6) for n in range(3)]
    for first in range(0, 400, 50):
        queue.add(*({"id": f"j{n}", "key": f"k{n % 8}", "type": rng.choice(["echo", "sleep", "fail"]),
                     "payload": {"key": f"k{n % 8}", "ms": 15, "delay_ms": 5}} for n in range(first, first + 50)))
        worker = rng.choice(workers)
        queue.dead(f"{names[0]}/{worker.name}", worker.process.pid)
        worker.kill()
        worker.start()
        if first % 200 == 100:
            manager.kill()
            manager.start()
    queue.settle()
    queue.check(workers[0].lines())


def test_a_job_that_backs_off_holds_up_its_key_and_no_other(make_queue, make_worker):
    queue = make_queue("q")
    worker = make_worker(queues={"q": 4})
    queue.add({"id": "a1", "key": "a", "type": "fail", "payload": {"key": "a", "times": 1, "delay_ms": 600}},
              {"id": "a2", "key": "a", "type": "echo", "payload": {"key": "a"}}, {"id": "b1", "key": "b", "type": "echo", "payload": {"key": "b"}})
    queue.settle()
    ended = [line["job"] for line in worker.lines() if line["event"] == "end" and line["outcome"] == "done"]
    assert ended.index("b1") < ended.index("a1") < ended.index("a2")
    queue.check(worker.lines())


@queues.both
def test_concurrency_holds_in_a_burst_and_with_a_killed_worker(make_queue, make_worker, names):
    queue = make_queue("q", concurrency=3, poison_after=100)
    workers = [make_worker(f"w-{n}", queues={"q": 8}) for n in range(2)]
    queue.add(*({"id": f"j{n}", "type": "sleep", "payload": {"ms": 5}} for n in range(200)))
    workers[0].wait_line("start", count=60)
    queue.dead(f"{names[0]}/w-1", workers[1].process.pid)
    workers[1].kill()
    queue.settle()
    queue.check(workers[0].lines(), Limits(concurrency=3))


def test_rate_holds_in_any_window(make_queue, make_worker):
    queue = make_queue("q", rate={"count": 20, "per": "500ms"})
    worker = make_worker(queues={"q": 8})
    begun = time.monotonic()
    queue.add(*({"id": f"j{n}", "type": "echo"} for n in range(60)))
    queue.settle()
    at = sorted(row["started_at"] for row in queue.rows())  # as the manager gave them out
    assert all(after - before >= 500 for before, after in zip(at, at[20:])), at
    assert time.monotonic() - begun < 10
    queue.check(worker.lines(), Limits(rate=(20, 0.5), rate_slack=0.2))


def test_max_per_key_is_a_number_and_more_than_it_wait(make_queue, make_worker):
    queue = make_queue("q", max_per_key=2)
    worker = make_worker(queues={"q": 8})
    queue.add(*({"id": f"j{n}", "type": "hold", "key": "k", "payload": {"key": "k"}} for n in range(4)))
    worker.wait_line("start", count=2)
    queue.add({"id": "other", "type": "echo"})
    queue.wait_state("other", "completed")
    assert len({line["job"] for line in queues.starts(worker.lines())} - {"other"}) == 2
    assert "key" in str(queue.op("explain", {"id": "j3"})).lower()
    queue.op("cancel", {"ids": [f"j{n}" for n in range(4)]})
    queue.settle()


def test_an_older_job_that_became_due_later_does_not_join_the_active_one_after_a_restart(make_queue, make_worker, manager):
    """What the manager reads from its disk in order of age is not the order in which the key was taken."""
    queue = make_queue("q", lease="15s")
    worker = make_worker(queues={"q": 4})
    queue.add({"id": "older", "type": "echo", "key": "k", "delay_ms": 700}, {"id": "younger", "type": "hold", "key": "k"})
    worker.wait_line("start", "younger")
    queue.wait_state("older", "waiting")
    manager.kill()
    manager.start()
    queue.add({"id": "e", "type": "echo"})
    queue.wait_state("e", "completed")
    assert [line["job"] for line in queues.starts(worker.lines())] == ["younger", "e"]
    queue.op("cancel", {"ids": ["younger"]})
    queue.settle()
    lives = [line for line in worker.lines() if line["job"] in ("older", "younger")]
    assert [(line["event"], line["job"]) for line in lives if line["event"] in ("start", "end")] == [
        ("start", "younger"), ("end", "younger"), ("start", "older"), ("end", "older")]

"""A checkpointed job whose worker is killed after each of its steps goes on with the last checkpoint, never before it [job-5]."""
import random

import chaos
import msgpack
import pytest
import queues
from checker import Limits

STEPS = 5


def run_until_done(queue, worker, job, killed):
    """The worker kills itself as told; it is started again each time. `killed` is called before that."""
    for _ in range(STEPS + 2):
        if queue.show(job)["state"] == "completed":
            return
        queues.harness.wait_until(lambda: worker.process.poll() is not None or queue.show(job)["state"] == "completed",
                                  what=f"{job} to end or to kill its worker", interval=0.03)
        if worker.process.poll() is not None:
            killed()
            worker.start()


@queues.both
@pytest.mark.parametrize("manager_too", [False, True], ids=["worker", "worker-and-manager"])
def test_killed_after_each_step_it_goes_on_with_the_next(make_queue, make_worker, manager, manager_too):
    queue = make_queue("q", poison_after=100)
    worker = make_worker()

    def killed():
        if manager_too:
            manager.kill()
            manager.start()
    queue.add({"id": "s", "type": "steps", "payload": {"steps": STEPS, "die_after": list(range(1, STEPS + 1))}})
    run_until_done(queue, worker, "s", killed)
    queue.settle()
    lines = worker.lines()
    assert [line["number"] for line in lines if line["event"] == "checkpoint"] == list(range(1, STEPS + 1)), "each step once"
    assert [line.get("checkpoint") for line in queues.starts(lines)] == [None, *({"step": n} for n in range(1, STEPS + 1))]
    assert queue.show("s")["attempt"] == STEPS + 1
    queue.check(lines)


@queues.both
def test_killed_at_any_moment_it_never_goes_back_before_what_was_acknowledged(make_queue, make_worker, names):
    queue = make_queue("q", poison_after=1000)
    rng = random.Random(chaos.seed())
    workers = [make_worker(f"w-{n}", queues={"q": 4}) for n in range(2)]
    queue.add(*({"id": f"s{n}", "type": "steps", "payload": {"steps": 40, "ms": 5}} for n in range(12)))
    for _ in range(8):
        worker = rng.choice(workers)
        done = sum(line["event"] == "checkpoint" for line in worker.lines())
        queues.harness.wait_until(lambda: queue.live() == 0 or sum(line["event"] == "checkpoint" for line in worker.lines())
                                  > done + rng.randrange(20), what="steps", interval=0.02)
        queue.dead(f"{names[0]}/{worker.name}", worker.process.pid)
        worker.kill()
        worker.start()
    queue.settle()
    queue.check(workers[0].lines())


def test_a_late_checkpoint_of_a_job_that_is_anothers_is_refused(make_queue, make_worker, broker, names):
    """The wire: a report with an attempt below the current is fenced, acknowledged and told to abandon [job-4]."""
    queue = make_queue("q")
    worker = make_worker()
    queue.add({"id": "h", "type": "hold"})
    worker.wait_line("start", "h")
    ghost = broker.client("admin")
    ghost.subscribe(broker.topic("worker/+/+/job"))
    ghost_report = {"worker": f"{names[0]}/ghost", "epoch": 5, "seq": 1, "got": 0, "capacity": 0, "manager_epoch": 0, "hello": True, "types": [],
                    "reconciles": [], "hand": [["h", 0]], "entries": [
                        {"id": "h", "attempt": 1, "outcome": "checkpoint", "data": {"step": 99}}, {"id": "h", "attempt": 1, "outcome": "done"}]}
    broker.client("worker").publish(broker.topic("queue/q/report"), msgpack.packb(ghost_report))
    told = ghost.wait_for(lambda m: m.topic.endswith("/ghost/job"))
    batch = msgpack.unpackb(told.payload)
    assert batch["ack"] == 1 and {(a["id"], a["reason"]) for a in batch["abandons"]} == {("h", "fenced")}
    assert queue.show("h")["state"] == "active"
    queue.op("cancel", {"ids": ["h"]})
    queue.settle()
    queue.check(worker.lines(), Limits(outcomes=("cancelled",)))

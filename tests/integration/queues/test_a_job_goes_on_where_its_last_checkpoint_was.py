"""A checkpointed job whose worker is killed after each of its steps goes on with the last checkpoint, never before it [job-5]."""
import random

import chaos
import pytest
import queues
from checker import Limits
from scripted import Ghost

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
    """A report with an attempt below the current is fenced, acknowledged and told to abandon, whatever it says [job-4]."""
    queue = make_queue("q", lease="2s")
    ghost = Ghost(broker, names[0], "ghost")
    ghost.hello("steps")
    queue.add({"id": "s", "type": "steps", "payload": {"steps": 2, "ms": 1000}})
    assert ghost.wait_job("s")["attempt"] == 1
    ghost.report({"id": "s", "attempt": 1, "outcome": "checkpoint", "data": {"step": 1}}, capacity=1, got=1)
    worker = make_worker()  # the ghost says no more: after its lease another one goes on
    assert worker.wait_line("start", "s")["checkpoint"] == {"step": 1}
    for outcome in ("checkpoint", "no_return", "retry", "failed", "done"):
        ghost.report({"id": "s", "attempt": 1, "outcome": outcome, "data": {"step": 99}}, got=1)
    ghost.wait_batch(lambda b: b.get("abandons"))
    assert {(a["id"], a["attempt"], a["reason"]) for b in ghost.batches() for a in b.get("abandons", ())} == {("s", 1, "fenced")}
    queue.settle()
    shown = queue.show("s")
    assert (shown["state"], shown["attempt"], shown["result"]) == ("completed", 2, {"attempt": 2, "value": 2})
    assert queue.op("describe")["totals"]["fenced"] >= 5
    final = queue.rows()
    queue.check([*worker.lines(), {"event": "start", "queue": "q", "job": "s", "attempt": 1, "worker": "ghost", "pid": 0, "at": 0.0}], final=final)


def test_a_worker_that_says_another_is_done_is_not_believed(make_queue, make_worker, broker, names):
    queue = make_queue("q")
    worker = make_worker()
    queue.add({"id": "h", "type": "hold"})
    worker.wait_line("start", "h")
    ghost = Ghost(broker, names[0], "ghost")
    ghost.hello()
    ghost.report({"id": "h", "attempt": 1, "outcome": "done"}, {"id": "never-heard-of", "attempt": 1, "outcome": "done"})
    ghost.wait_batch(lambda b: {a["id"] for a in b.get("abandons", ())} == {"h", "never-heard-of"})
    assert queue.show("h")["state"] == "active"
    queue.op("cancel", {"ids": ["h"]})
    queue.settle()
    queue.check(worker.lines(), Limits(outcomes=("cancelled",)))

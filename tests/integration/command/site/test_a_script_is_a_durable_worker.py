"""Scripts of a few lines under a node daemon and a manager: what is promised to a worker in C holds for them as well."""
import collections
import json
import os
import pathlib
import random
import secrets
import signal
import time

import harness
import msgpack
import pytest
from commands import sh, wait_gone

# Three steps, each checkpointed and waited for; each writes a line before it is done. Dies where it is told to.
STEPS = """#!/usr/bin/python3 -u
import json, os, sys, time
payload = json.load(sys.stdin)
step = json.loads(os.environ.get("REEVE_JOB_CHECKPOINT", "0"))
ack = os.fdopen(int(os.environ["REEVE_JOB_ACK_FD"]))
def note(event):
    with open(payload["journal"], "a") as journal:
        journal.write(json.dumps({"event": event, "step": step, "attempt": int(os.environ["REEVE_JOB_ATTEMPT"]),
                                  "pid": os.getpid(), "at": time.monotonic()}) + "\\n")
note("start")
while step < payload["steps"]:
    step += 1
    print(f"::progress {step / payload['steps']} step {step}")
    print(f"::checkpoint {step}")
    assert ack.readline().startswith("ok"), "the job is another's"
    note("step")
    if step in payload.get("wait", []):
        time.sleep(payload.get("for", 1000))
print(json.dumps({"steps": step, "attempt": int(os.environ["REEVE_JOB_ATTEMPT"])}))
"""


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "journal"


def read(journal):
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


def wait_line(journal, event, **fields):
    return harness.wait_until(lambda: next((line for line in read(journal) if line["event"] == event and
                                            all(line[k] == v for k, v in fields.items())), None), what=f"{event} {fields}: {read(journal)}")


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "steps.py"
    path.write_text(STEPS)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def serve(make_node, names):
    """serve(argv=[...]) -> a node with a command worker of queue q that restarts at once."""
    def make(**config):
        worker = {"name": "cmd", "type": "command", "ready": {"mode": "notify"}, "config": {"queue": "q", **config},
                  "restart": {"policy": "always", "initial": "10ms"}}
        return make_node(names[0], workers=[worker])
    return make


def parent(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))


def worker_of(pid):
    """The worker of a command: the parent of its guard."""
    return parent(parent(pid))


def test_killed_with_its_job_in_hand_it_goes_on_at_the_checkpoint(make_queue, serve, journal, script):
    queue = make_queue("q")
    serve(argv=[script])
    queue.add({"id": "j", "type": "steps", "payload": {"steps": 4, "wait": [2], "for": 1000, "journal": str(journal)}})
    first = wait_line(journal, "step", step=2)
    shown = harness.wait_until(lambda: (s := queue.show("j")).get("checkpoint") == 2 and s.get("progress") and s, what="progress")
    assert shown["state"] == "active" and shown["progress"] == 0.5
    os.kill(worker_of(first["pid"]), signal.SIGKILL)
    again = wait_line(journal, "start", attempt=2)
    assert again["step"] == 2, "with the last checkpoint"
    assert not pathlib.Path(f"/proc/{first['pid']}").exists(), "the first attempt was gone before the second began"
    assert queue.wait_state("j", "completed")["result"] == {"steps": 4, "attempt": 2}
    assert [line["step"] for line in read(journal) if line["event"] == "step"] == [1, 2, 3, 4], "each step once"


def test_exit_codes_retry_and_fail_as_the_queue_says(make_queue, serve, journal):
    queue = make_queue("q", attempts=3, backoff={"kind": "fixed", "delay": "50ms"})
    serve(argv=[*sh('echo "attempt $REEVE_JOB_ATTEMPT says $1" >&2; [ "$REEVE_JOB_ATTEMPT" -lt "$2" ] && exit $1; echo $REEVE_JOB_ATTEMPT'),
                "x", "{payload.code}", "{payload.good}"])
    queue.add({"id": "later", "type": "t", "payload": {"code": 75, "good": 3}}, {"id": "never", "type": "t", "payload": {"code": 1, "good": 9}},
              {"id": "wrong", "type": "t", "payload": {"code": 65, "good": 9}})
    assert queue.wait_state("later", "completed")["result"] == 3
    never = queue.wait_state("never", "failed")
    assert never["attempt"] == 3 and never["error"] == "exit:1: attempt 3 says 1"
    wrong = queue.wait_state("wrong", "failed")
    assert wrong["attempt"] == 1 and wrong["error"] == "exit:65: attempt 1 says 65"
    logged = [str(line) for line in queue.op("logs", {"id": "later"})["lines"]]
    assert len(logged) == 3 and "attempt 2 says 75" in logged[1]


def test_a_running_command_is_cancelled(make_queue, serve, journal, script):
    queue = make_queue("q", cancel_grace="2s")
    serve(argv=[script])
    queue.add({"id": "j", "type": "steps", "payload": {"steps": 2, "wait": [1], "journal": str(journal)}})
    pid = wait_line(journal, "step", step=1)["pid"]
    queue.op("cancel", {"ids": ["j"]})
    queue.wait_state("j", "cancelled")
    harness.wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), what="its end")


PAY = """echo '::no_return {"payment": "p-1"}'; read word number <&3; [ "$word" = ok ] || exit 75
echo paid >>"$1"; kill -KILL $(cat /proc/$PPID/status | sed -n 's/^PPid:[^0-9]*//p'); sleep 1000"""
FIND_OUT = """echo asked >>"$1.asked"; if grep -q paid "$1"; then echo '{"paid": true, "found": "'$REEVE_JOB_RECONCILE'"}'; else exit 66; fi"""


def test_a_payment_that_was_lost_is_found_out_and_not_made_again(make_queue, serve, journal):
    """The command kills its worker (its guard's parent) after it has paid: only the reconciler may end the job."""
    queue = make_queue("q")
    serve(argv=[*sh(PAY), "x", "{payload.journal}"], reconcile=[*sh(FIND_OUT), "x", "{payload.journal}"], stdin="none")
    queue.add({"id": "j", "type": "pay", "payload": {"journal": str(journal)}})
    shown = queue.wait_state("j", "completed", deadline=40)
    assert shown["result"] == {"paid": True, "found": 1} or shown["result"] == {"paid": True, "found": "1"}
    assert journal.read_text() == "paid\n", "once"


def test_a_leaving_worker_hands_its_jobs_back(make_queue, serve, steer, names, journal, script):
    queue = make_queue("q")
    node = serve(argv=[script])
    queue.add({"id": "j", "type": "steps", "payload": {"steps": 2, "wait": [1], "for": 1000, "journal": str(journal)}})
    wait_line(journal, "step", step=1)
    began = time.monotonic()
    steer.do(f"worker/{names[0]}/cmd", "restart")
    assert wait_line(journal, "start", attempt=2)["step"] == 1
    assert time.monotonic() - began < 15 and node is not None
    assert queue.wait_state("j", "completed")["result"]["attempt"] == 2


def test_two_hundred_jobs_each_once(make_queue, serve, journal):
    queue = make_queue("q")
    serve(argv=[*sh('echo "$REEVE_JOB_ID" >>"$1"; echo $2'), "x", str(journal), "{payload}"], stdin="none", concurrency=8, prefetch=16)
    queue.add(*({"id": f"j{n}", "type": "t", "payload": n} for n in range(200)))
    began = time.monotonic()
    queue.settle()
    print(f"200 commands in {time.monotonic() - began:.2f} s")
    assert sorted(journal.read_text().split()) == sorted(f"j{n}" for n in range(200))
    assert queue.show("j7")["result"] == 7


def test_a_worker_that_was_there_before_its_queue_is_found_at_once(make_queue, serve, manager, broker, names):
    """It has said hello to nobody, and would say it again with its heartbeat only: 20 s."""
    watcher = broker.client("admin")
    watcher.subscribe(broker.topic(f"worker/{names[0]}/cmd/status"))
    serve(argv=["echo", "5"])
    watcher.wait_for(lambda m: m.payload and msgpack.unpackb(m.payload).get("queues") == ["q"], what="a status with its queue")
    queue = make_queue("q")
    queue.add({"id": "j", "type": "t"})
    assert queue.wait_state("j", "completed", deadline=5)["result"] == 5


def test_workers_killed_again_and_again_lose_no_job_and_leave_no_process(make_queue, make_node, names, journal):
    """Seed printed. Each job is a shell with a child of its own session; whatever of an attempt is killed, the job is done in the end."""
    rng = random.Random(seed := int(os.environ.get("REEVE_SEED", "0")) or secrets.randbits(32))
    print(f"seed {seed}")
    mark = secrets.token_hex(8)
    queue = make_queue("q", poison_after=100, attempts=100)
    config = {"queue": "q", "concurrency": 4, "prefetch": 4, "stdin": "none", "env": {"MARK": mark},
              "argv": [*sh('echo "$REEVE_JOB_ID" >>"$1"; setsid sleep 1000 & sleep 0.02; echo 1'), "x", str(journal)]}
    for name in names[:2]:
        make_node(name, workers=[{"name": "cmd", "type": "command", "ready": {"mode": "notify"}, "config": config,
                                  "restart": {"policy": "always", "initial": "10ms", "limit": 0}}])
    journal.touch()
    queue.add(*({"id": f"j{n}", "type": "t"} for n in range(400)))
    for _ in range(10):
        begun = len(journal.read_text().split())
        harness.wait_until(lambda: queue.live() == 0 or len(journal.read_text().split()) > begun + rng.randrange(30),
                           what="jobs to begin", interval=0.02)
        workers = [pid for pid in map(int, (p.name for p in pathlib.Path("/proc").glob("[0-9]*"))) if is_worker(pid, journal.parent)]
        if workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
    queue.settle()
    counts = collections.Counter(journal.read_text().split())
    assert set(counts) == {f"j{n}" for n in range(400)}
    assert all(row["state"] == "completed" for row in queue.rows())
    wait_gone(mark)
    print(f"{sum(counts.values())} attempts for 400 jobs")


def is_worker(pid, folder):
    """A reeve-worker-command of this test: not a guard, which is a fork of it and the parent of a command."""
    try:
        path = pathlib.Path(f"/proc/{pid}")
        return (path / "comm").read_text() == "reeve-worker-co\n" and str(folder).encode() in (path / "environ").read_bytes()
    except OSError:
        return False

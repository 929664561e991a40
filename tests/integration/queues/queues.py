"""What the tests of queues share: who steers them, a queue with the history that the checker takes, and reading what the manager has
on disk.

    queue = Queue(broker, manager, steer, "q"); queue.apply(concurrency=4)
    queue.add({"type": "echo", "id": "a"}); queue.settle(); queue.check()

Nothing here sleeps but for an interval of polling; every wait has a deadline."""
import json
import pathlib
import sys
import threading
import time

import harness
import managers
import msgpack
import nodes
import pytest
from checker import Limits, check, explain

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "clients/python"))
import reeve_client  # noqa: E402

both = pytest.mark.parametrize("kind", ["python", "probe"], indirect=True)
STATES = ("waiting", "delayed", "active", "unknown", "completed", "failed", "cancelled")
NUMBER_BITS, SLOT_BITS = 46, 2  # of job_ended.place


class JobSteer(managers.Steer):
    """An admin who sees replies, queues, verdicts and alarms, and not every report."""

    def __init__(self, broker):
        self.manager_name, self.pool_events = "main", {}
        below = ("reply/admin/+", "queue/+/status", "queue/+/event", "job/+/+", "alarm/+/+", "fleet/+/+", "pool/+/status", "manager/+/status",
                 "worker/+/+/process", "node/+/status")
        nodes.Control.__init__(self, broker, broker.node, "admin", 5, [broker.topic(one) for one in below])

    def _take(self, message):
        below = message.topic[len(self.broker.root) + 1:]
        if below.startswith("job/"):
            with self.client.changed:
                self.records[below] = msgpack.unpackb(message.payload) if message.payload else None
                self.client.changed.notify_all()
        else:
            super()._take(message)

    def queue(self, queue, op, args=None, phase="done", **options):
        return self.do(f"queue/{queue}", op, args, phase, **options)


class Queue:
    """One queue, and all that happens to its jobs."""

    def __init__(self, broker, manager, steer, name):
        self.broker, self.manager, self.steer, self.name = broker, manager, steer, name
        self.acknowledged, self.deaths, self._lock, self._producers = [], [], threading.Lock(), []

    def apply(self, **spec):
        return self.steer.queue(self.name, "apply", {"lease": "3s", **spec})

    def op(self, op, args=None, phase="done", **options):
        return self.steer.queue(self.name, op, args, phase, **options).get("result") or {}

    def refused(self, op, args=None, code=None, says="", phase="rejected", **options):
        return self.steer.refused(f"queue/{self.name}", op, args, code, says, phase, **options)

    # ---- jobs in

    def producer(self, ready=20.0):
        site = reeve_client.Site(f"mqtt://127.0.0.1:{self.broker.port}", "producer", self.broker.users["producer"], self.broker.root)
        self._producers.append(reeve_client.Producer(site, ready))
        return self._producers[-1]

    def add(self, *jobs, **options):
        """Enqueue; the result of the reply. What was accepted counts as acknowledged from here on."""
        result = self.op("enqueue", {"jobs": list(jobs)}, **options)
        self.note(result, jobs)
        return result

    def note(self, result, jobs):
        with self._lock:
            self.acknowledged += [{"queue": self.name, "job": id, "key": job.get("key")} for id, job in zip(result["ids"], jobs)]

    # ---- what became of them

    def show(self, job):
        return self.op("show", {"id": job})

    def wait_state(self, job, *states, deadline=harness.DEADLINE):
        last = {}

        def seen():
            last.update(self.show(job))
            return last if last["state"] in states else None
        try:
            return harness.wait_until(seen, deadline, f"{job} {states}", 0.03)
        except harness.Late as late:
            raise harness.Late(f"{late}; it is {last}; explained: {self.op('explain', {'id': job}, phase=None)}") from late

    def status(self):
        return self.steer.record(f"queue/{self.name}/status")

    def wait_status(self, predicate, deadline=harness.DEADLINE):
        return self.steer.wait_record(f"queue/{self.name}/status", lambda r: r is not None and predicate(r), deadline)

    def rows(self):
        """[{queue, job, state, attempt, ...}] as they lie on the manager's disk: all that it knows of this queue."""
        number = self.manager.database("SELECT number FROM job_queue WHERE name=?", self.name)[0][0]
        live = self.manager.database("SELECT b.id,j.state,j.attempt,j.started_at,j.worker,NULL,NULL FROM job j JOIN job_body b"
                                     " ON b.number=j.number WHERE j.queue=?", number)
        ended = self.manager.database(
            f"SELECT b.id,{len(STATES) - 3}+((e.place>>{NUMBER_BITS})&3),e.attempt,e.started_at,e.worker,e.error,e.result FROM job_ended e"
            f" JOIN job_body b ON b.number=(e.place&{(1 << NUMBER_BITS) - 1}) WHERE (e.place>>{NUMBER_BITS + SLOT_BITS})=?", number)
        return [{"queue": self.name, "job": id, "state": STATES[state], "attempt": attempt, "started_at": started_at, "worker": worker,
                 "error": error, "result": msgpack.unpackb(result) if result else None}
                for id, state, attempt, started_at, worker, error, result in live + ended]

    def live(self):
        return self.manager.database("SELECT count(*) FROM job j JOIN job_queue q ON q.number=j.queue WHERE q.name=?", self.name)[0][0]

    def wait_workers(self, count, deadline=harness.DEADLINE):
        """Until so many can be given jobs."""
        def ready():
            return sum(worker["capacity"] > 0 for worker in self.op("describe")["workers"]) == count
        harness.wait_until(ready, deadline, f"{count} workers of {self.name}", 0.02)

    def purge(self):
        while self.op("purge", deadline=60)["more"]:
            pass

    def settle(self, deadline=60.0):
        """Until no job of it is live; what lasts too long is told with its explanation."""
        try:
            harness.wait_until(lambda: self.live() == 0, deadline, f"queue {self.name} to settle", 0.1)
        except harness.Late as late:
            rows = [row for row in self.rows() if row["state"] in STATES[:4]]
            told = [self.op("explain", {"id": row["job"]}, phase=None) for row in rows[:3]]
            raise harness.Late(f"{late}: {len(rows)} live, such as {rows[:5]}; explained: {told}") from late

    def dead(self, worker, pid):
        """To be said before the kill: a life of a handler lasts no longer than this, whatever was begun before."""
        with self._lock:
            self.deaths.append({"event": "dead", "worker": worker, "pid": pid, "at": time.monotonic()})

    def check(self, lines=None, limits=None, final=None):
        """The checker is content, or everything about the first violations."""
        lines = [line for line in lines or () if line.get("queue", self.name) == self.name] + self.deaths
        final = self.rows() if final is None else final
        found = check(self.acknowledged, lines, final, limits or Limits())
        assert not found, explain(found, lines, final)

    def close(self):
        for producer in self._producers:
            producer.close()


def starts(lines, job=None):
    return [line for line in lines if line["event"] == "start" and job in (None, line["job"])]


def spread(values, unit=1000):
    """(p50, p99, highest) of times in s, in ms."""
    ordered = sorted(values)
    return tuple(round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * unit, 1) for share in (0.5, 0.99, 1.0))


def report(name, **figures):
    """Figures for whoever reads the log of the test."""
    print(f"\nfigures {name} {json.dumps(figures)}", flush=True)

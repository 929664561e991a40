"""Kills at random: the manager, the broker, daemons and workers, again and again, while producers put jobs in and workers do them.

The seed decides who is killed when and is printed; REEVE_SEED repeats it as far as a machine can. Must not: know what has to hold."""
import collections
import contextlib
import os
import random
import signal
import threading
import time

import nodes
import reeve_client

WEIGHTS = {"worker": 6, "manager": 2, "daemon": 1, "broker": 1}


def seed():
    """Printed, so that a failure can be repeated."""
    chosen = int(os.environ.get("REEVE_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"\nREEVE_SEED={chosen}", flush=True)
    return chosen


class Nemesis:
    """A thread that kills while it is entered; who was killed is started again at once, by it or by its daemon."""

    def __init__(self, seed, queue, broker, manager, made_nodes, pause=(0.05, 0.6), weights=None):
        self.random = random.Random(seed)
        self.queue, self.broker, self.manager, self.nodes = queue, broker, manager, made_nodes
        self.pause, self.weights = pause, weights or WEIGHTS
        self.kills, self.error = collections.Counter(), None
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error

    def _run(self):
        actions = {"worker": self.kill_worker, "manager": self.kill_manager, "daemon": self.kill_daemon, "broker": self.kill_broker}
        try:
            while not self._stop.wait(self.random.uniform(*self.pause)):
                kind = self.random.choices(list(self.weights), list(self.weights.values()))[0]
                actions[kind]()
                self.kills[kind] += 1
        except Exception as error:  # told by whoever waits for us
            self.error = error

    def kill_worker(self):
        found = sorted((f"{node.name}/{name}", pid) for node in self.nodes for pid, name in workers_of(node).items())
        if found:
            worker, pid = self.random.choice(found)
            self.queue.dead(worker, pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_manager(self):
        self.manager.kill()
        self.manager.start(ready=False)

    def kill_daemon(self):
        node = self.random.choice(self.nodes)
        node.kill()
        node.start(ready=False)

    def kill_broker(self):
        self.broker.process.kill()
        self.broker.process.wait()
        self.broker.start()


def workers_of(node):
    """{pid: name} of the processes of its workers themselves."""
    found = {}
    for pid in node.processes():
        name = next((v[13:].decode() for v in nodes.read_proc(pid, "environ").split(b"\0") if v.startswith(b"REEVE_WORKER=")), None)
        if name and nodes.read_proc(pid, "comm").strip() != b"reeve-shim":
            found[pid] = name
    return found


class Feeder:
    """A producer that gives jobs of its own keys in order, a batch at a time, and asks with the same id until it is told."""

    def __init__(self, queue, name, count, make, batch=50, pause=0.4):
        """pause: between batches, in s; so that many are killed while jobs come in."""
        self.queue, self.name, self.count, self.make, self.batch, self.pause = queue, name, count, make, batch, pause
        self.error, self.repeats, self.done = None, 0, 0
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            producer = self.queue.producer(ready=None)
            for first in range(0, self.count, self.batch):
                jobs = [self.make(self.name, n) for n in range(first, min(first + self.batch, self.count))]
                self._give(producer, jobs, f"{self.name}-batch-{first}")
                self.done = first + len(jobs)
                time.sleep(self.pause)
        except Exception as error:
            self.error = error

    def _give(self, producer, jobs, id):
        end = time.monotonic() + 300
        while True:
            try:
                result = producer.enqueue_send(self.queue.name, jobs, id).wait(timeout=30, again=0.5)["result"]
                assert result["durability"] == "commit" and not result["rejected"], result
                self.queue.note(result, jobs)
                self.repeats += result["duplicates"] > 0
                return
            except (reeve_client.Refused, reeve_client.NoAnswer):
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def join(self, deadline=600):
        self.thread.join(deadline)
        assert not self.thread.is_alive(), f"{self.name} gave {self.done} of {self.count}"
        if self.error is not None:
            raise self.error

"""A manager that does what a test tells it, to see what a worker says: the wire of [job-12..14] from the other side.

Must not: decide anything by itself but, while `acks` is on, acknowledge each report."""
import json
import os
import pathlib
import subprocess
import time

import harness
import msgpack
import nodes


class Scripted:
    def __init__(self, broker, node, worker, queue="q", epoch=1000, lease_ms=3000):
        self.broker, self.node, self.worker, self.queue, self.epoch, self.lease_ms = broker, node, worker, queue, epoch, lease_ms
        self.reports, self.statuses, self.seq, self.acks = [], [], 0, True
        self.client = broker.client("manager")
        inner = self.client.paho.on_message

        def on_message(mqtt, data, message):
            self._take(message)
            inner(mqtt, data, message)
        self.client.paho.on_message = on_message
        self.client.subscribe(broker.topic(f"queue/{queue}/report"), broker.topic(f"worker/{node}/{worker}/status"))

    def _take(self, message):
        value = msgpack.unpackb(message.payload) if message.payload else None
        with self.client.changed:
            if message.topic.endswith("/status"):
                self.statuses.append(value)
                return
            self.reports.append(value)
        if self.acks:
            self.send(ack=value["seq"], session=value["epoch"])

    def send(self, jobs=(), cancels=(), abandons=(), session=None, epoch=None, **more):
        body = {"queue": self.queue, "manager_epoch": epoch or self.epoch, "worker_epoch": session or self.reports[-1]["epoch"],
                "lease_ms": self.lease_ms, **more}
        if jobs:
            self.seq += 1
            body.update(seq=self.seq, jobs=[{"attempt": 1, "type": "echo", **job} for job in jobs])
        for key, value in (("cancels", cancels), ("abandons", abandons)):
            if value:
                body[key] = list(value)
        self.client.paho.publish(self.broker.topic(f"worker/{self.node}/{self.worker}/job"), msgpack.packb(body), 1)

    def entries(self, outcome=None, job=None):
        """All that was said, repetitions included."""
        with self.client.changed:
            return [entry for report in self.reports for entry in report.get("entries", ())
                    if outcome in (None, entry["outcome"]) and job in (None, entry["id"])]

    def wait_entry(self, job, outcome, count=1, deadline=harness.DEADLINE):
        return self.client.wait(lambda: (self.entries(outcome, job) if len(self.entries(outcome, job)) >= count else None),
                                deadline, f"{outcome} of {job}; entries {self.entries()[-5:]}")[-1]

    def wait_report(self, predicate, deadline=harness.DEADLINE, what="report"):
        return self.client.wait(lambda: next((r for r in self.reports if predicate(r)), None), deadline, f"{what}: {self.reports[-3:]}")

    def wait_status(self, predicate, deadline=harness.DEADLINE):
        return self.client.wait(lambda: next((s for s in self.statuses if s and predicate(s)), None), deadline, f"{self.statuses[-2:]}")


class Ghost:
    """A worker on the wire that says what a test tells it to and nothing else: no status, no heartbeat, no answer of its own."""

    def __init__(self, broker, node, name, queue="q", epoch=1000):
        self.broker, self.worker, self.queue, self.epoch, self.seq = broker, f"{node}/{name}", queue, epoch, 0
        self.client = broker.client("worker")
        self.client.subscribe(broker.topic(f"worker/{node}/{name}/job"))

    def report(self, *entries, **more):
        self.seq += 1
        self.client.publish(self.broker.topic(f"queue/{self.queue}/report"), msgpack.packb({
            "worker": self.worker, "epoch": self.epoch, "seq": self.seq, "got": 0, "capacity": 0, "manager_epoch": 0,
            **({"entries": list(entries)} if entries else {}), **more}))

    def hello(self, *types, capacity=1, hand=()):
        self.report(hello=True, types=list(types), reconciles=[], hand=list(hand), capacity=capacity)

    def batches(self):
        return [msgpack.unpackb(message.payload) for message in list(self.client.messages)]

    def wait_batch(self, predicate, deadline=harness.DEADLINE):
        return self.client.wait(lambda: next((b for b in self.batches() if predicate(b)), None), deadline, f"a batch; {self.batches()[-3:]}")

    def wait_job(self, job, deadline=harness.DEADLINE):
        batch = self.wait_batch(lambda b: any(item["id"] == job for item in b.get("jobs", ())), deadline)
        return next(item for item in batch["jobs"] if item["id"] == job)


class PythonWorker:
    """journal_worker.py as a plain process, with the environment that a daemon would give it."""

    command = ["/usr/bin/python3", "-B", str(pathlib.Path(__file__).parent / "journal_worker.py")]

    def __init__(self, broker, directory, queues=None, name="w-1", node=None, version="5", role="worker", url=None, wrapper=(), env=None,
                 heartbeat_ms=20000, **options):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.name, self.node = name, node or broker.node
        self.jobs_file = pathlib.Path(options.setdefault("jobs_file", str(self.directory / f"{name}.jsonl")))
        options.setdefault("queues", queues or {"q": 2})
        broker_file = self.directory / f"{name}-broker.json"
        broker_file.unlink(missing_ok=True)
        with open(os.open(broker_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump({"url": url or f"mqtt://127.0.0.1:{broker.port}", "username": role, "password": broker.users[role],
                       "version": version}, file)
        self.environment = {"PATH": "/usr/bin:/bin", "REEVE_ROOT": broker.root, "REEVE_NODE": self.node, "REEVE_WORKER": name,
                            "REEVE_BROKER_FILE": str(broker_file), "REEVE_HEARTBEAT_MS": str(heartbeat_ms),
                            "REEVE_CONFIG_FILE": str(self.directory / f"{name}.json"),
                            **{key: os.environ[key] for key in nodes.SANITIZER if key in os.environ}, **(env or {})}
        (self.directory / f"{name}.json").write_text(json.dumps(self.config(options)))
        self.log_path = self.directory / f"{name}.log"
        self.wrapper, self.process = list(wrapper), None

    @staticmethod
    def config(options):
        return options

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.wrapper, *self.command], env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        return self

    def lines(self):
        return read_lines(self.jobs_file)

    def wait_line(self, event, job=None, deadline=harness.DEADLINE, count=1):
        def seen():
            found = [line for line in self.lines() if line["event"] == event and job in (None, line["job"])]
            return found[-1] if len(found) >= count else None
        return harness.wait_until(seen, deadline, f"{event} of {job} in {self.jobs_file}; {self.log_path.read_text()[-1000:]}")

    def kill(self):
        self.process.kill()
        self.process.wait(harness.DEADLINE)

    def kill_at(self):
        """Kill it; the monotonic time of the kill."""
        at = time.monotonic()
        self.kill()
        return at

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(harness.DEADLINE) if self.process is not None else None

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(harness.DEADLINE)
        faults = [line for line in self.log_path.read_text(errors="replace").splitlines()
                  if "Sanitizer" in line or "runtime error:" in line or "Traceback" in line] if self.log_path.exists() else []
        assert not faults, f"{faults[:5]} in {self.log_path}"


class ProbeWorker(PythonWorker):
    """reeve-worker-probe in the same way: the SDK, with the same types of jobs and the same lines."""

    command = [str(harness.BIN / "reeve-worker-probe")]

    @staticmethod
    def config(options):
        prefetch = options.get("prefetch")
        prefetch = 0 if prefetch is None else prefetch or -1
        return {"jobs_file": options["jobs_file"], "queues": [
            {"queue": queue, "concurrency": jobs, "prefetch": prefetch} for queue, jobs in options["queues"].items()]}


WORKERS = {"python": PythonWorker, "probe": ProbeWorker}


def read_lines(path):
    """Lines of a jobs file; the last one may be on its way."""
    path = pathlib.Path(path)
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


"""A worker of the SDK at a real broker: reeve-worker-probe, started as a daemon starts it, seen by a foreign client."""
import json
import os
import signal
import subprocess

import harness
import msgpack
import pytest

PROBE = harness.BIN / "reeve-worker-probe"


class Probe:
    """One process of reeve-worker-probe; everything it needs goes through the environment, as from a daemon."""

    def __init__(self, broker, directory, name="mm-1", version=5, run=1, heartbeat_ms=20000, config=None, env=None,
                 pass_fds=(), role="worker", program=PROBE):
        directory.mkdir(exist_ok=True)
        unique = f"{name}-{os.urandom(4).hex()}"  # others of that name may be reading theirs
        self.broker, self.name, self.stderr = broker, name, directory / f"{unique}.log"
        broker_file = directory / f"{unique}.json"
        self._write(broker_file, {"url": f"mqtt://127.0.0.1:{broker.port}", "username": role,
                                  "password": broker.users[role], "version": {5: "5", 4: "3.1.1"}[version]})
        environment = {"PATH": "/usr/bin:/bin", "REEVE_ROOT": broker.root, "REEVE_NODE": broker.node,
                       "REEVE_WORKER": name, "REEVE_RUN": str(run), "REEVE_TYPE": "probe",
                       "REEVE_BROKER_FILE": str(broker_file), "REEVE_HEARTBEAT_MS": str(heartbeat_ms),
                       "REEVE_LOG_LEVEL": "debug"}
        for key in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if key in os.environ:
                environment[key] = os.environ[key]
        if config is not None:
            self._write(directory / "config.json", config)
            environment["REEVE_CONFIG_FILE"] = str(directory / "config.json")
        environment.update(env or {})
        with open(self.stderr, "wb") as log:
            self.process = subprocess.Popen([program], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            pass_fds=pass_fds)

    @staticmethod
    def _write(path, record):
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(record, file)

    @property
    def pid(self):
        return self.process.pid

    def topic(self, leaf):
        return self.broker.topic(f"worker/{self.broker.node}/{self.name}/{leaf}")

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait(harness.DEADLINE)

    def wait(self):
        return self.process.wait(harness.DEADLINE)

    def log(self):
        return self.stderr.read_text(errors="replace")

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(harness.DEADLINE)
            except subprocess.TimeoutExpired:
                self.kill()


class Watcher:
    """A client of one role that reads records of a worker and sends commands to it."""

    def __init__(self, client, broker, role):
        self.client, self.broker, self.role, self.sent = client, broker, role, 0
        client.subscribe(broker.topic(f"reply/{role}/+"))

    def records(self, topic):
        return [msgpack.unpackb(m.payload) for m in self.client.of(topic) if m.payload]

    def record(self, topic, predicate=lambda record: True, what="record"):
        """The first record on `topic`, arrived or to come, for which predicate(record) is true."""
        message = self.client.wait_for(lambda m: m.topic == topic and m.payload and
                                       predicate(msgpack.unpackb(m.payload)), what=f"{what} on {topic}")
        return msgpack.unpackb(message.payload)

    def replies(self, id):
        return [r for r in (msgpack.unpackb(m.payload) for m in list(self.client.messages) if "/reply/" in m.topic)
                if r.get("id") == id]

    def reply(self, id, terminal=True, number=1):
        """The number-th reply to the command `id`, of the terminal ones only."""
        final = ("done", "failed", "rejected", "expired", "cancelled", "superseded", "duplicate")

        def found():
            replies = [r for r in self.replies(id) if not terminal or r["phase"] in final]
            return replies[number - 1] if len(replies) >= number else None
        return self.client.wait(found, what=f"reply {number} to {id}")

    def send(self, probe, op, args=None, id=None, retain=False, **envelope):
        """Publish a command as msgpack and return its id."""
        self.sent += 1
        id = id or f"{self.role}-{self.sent}"
        command = {"id": id, "args": args or {}, "reply_to": self.broker.topic(f"reply/{self.role}/{id}"), **envelope}
        self.client.publish(probe.topic(f"cmd/{op}"), msgpack.packb(command), retain=retain)
        return id

    def ask(self, probe, op, args=None, **options):
        return self.reply(self.send(probe, op, args, **options))


@pytest.fixture(params=[5, 4], ids=["mqtt5", "mqtt311"])
def version(request):
    """Of the worker's session: everything has to work with both."""
    return request.param


@pytest.fixture
def start(broker, tmp_path):
    """start(**options) -> a running Probe; ended with the test."""
    probes = []

    def make(**options):
        probes.append(Probe(broker, tmp_path / "workers", **options))
        return probes[-1]

    yield make
    for probe in probes:
        probe.close()


@pytest.fixture
def operator(broker):
    """Watches all workers and may send commands."""
    client = broker.client("operator")
    client.subscribe(*(broker.topic(f) for f in ("worker/+/+/status", "worker/+/+/lwt", "worker/+/+/event",
                                                 "worker/+/+/metrics", "alarm/+/+", "reply/anonymous/+")))
    return Watcher(client, broker, "operator")


@pytest.fixture
def node(broker):
    """A client with the rights of the daemon: it may write the records of its workers."""
    return broker.client(broker.node)

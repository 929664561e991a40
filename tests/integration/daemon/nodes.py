"""What the tests of the node daemon share: a node (reeved with its own state folder), somebody who commands it, and
nats-server as another broker.

Nothing here sleeps; every wait has a deadline. Must not use code of ours to speak MQTT or msgpack.
"""
import contextlib
import dataclasses
import glob
import itertools
import json
import os
import pathlib
import secrets
import signal
import socket
import sqlite3
import subprocess
import time

import harness
import msgpack

TERMINAL = {"done", "failed", "rejected", "expired", "cancelled", "superseded", "duplicate"}
SANITIZER = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")
SLEEPER = ["sleep", "100000"]
# Ignores SIGTERM, and is running only once it does.
STUBBORN = {"command": ["sh", "-c", "trap '' TERM INT; echo up; while :; do sleep 1000; done"], "ready": {"log": "^up$"}}


# ---- brokers ---------------------------------------------------------------------------------------------------------

class Nats(harness.Broker):
    """nats-server with JetStream and MQTT (3.1.1 only), with the same users as the site's Mosquitto."""

    def write_files(self):
        def user(name, permissions=""):
            return f'{{user: "{name}", password: "{self.users[name]}"{permissions}}}'

        root = self.root.replace("/", ".")
        viewer = (f', permissions: {{publish: ["{root}.reply.viewer.>"], '
                  f'subscribe: {{allow: [">"], deny: ["{root}.audit.>"]}}}}')
        users = [user(name, viewer if name == "viewer" else "") for name in self.users]
        self._write("mosquitto.conf", "\n".join([
            "server_name: one", "host: 127.0.0.1", "port: -1", "max_payload: 1MB",
            f'jetstream {{ store_dir: "{self.directory}/data", max_memory_store: 64MB, max_file_store: 512MB }}',
            f'mqtt {{ host: 127.0.0.1, port: {self.port}, ack_wait: "5s", max_ack_pending: 1024 }}',
            f"authorization {{ users: [{', '.join(users)}] }}", ""]))

    def _spawn(self):
        with open(self.stderr, "ab") as log:
            self.process = subprocess.Popen(["nats-server", "-c", str(self.config)], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)

    def client(self, role=None, password=None, **options):
        """The first MQTT session of a server makes its streams, and may be turned away meanwhile."""
        options["version"] = 4
        if options.get("expect", 0) != 0:
            return super().client(role, password, **options)

        def tried():
            try:
                return super(Nats, self).client(role, password, **options)
            except (AssertionError, OSError):
                return None
        return harness.wait_until(tried, what="session with nats-server", interval=0.1)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A broker and the version of MQTT that daemon and test speak with it."""

    broker: type
    version: int

    def make(self, directory, node, **options):
        return self.broker(directory, node=node, **options)


KINDS = {"mosquitto-5": Kind(harness.Broker, 5), "mosquitto-3.1.1": Kind(harness.Broker, 4), "nats": Kind(Nats, 4)}


# ---- a node ----------------------------------------------------------------------------------------------------------

def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def read_proc(pid, leaf):
    try:
        return pathlib.Path(f"/proc/{pid}/{leaf}").read_bytes()
    except OSError:
        return b""


def start_time(pid):
    """Field 22 of /proc/<pid>/stat, None when there is no such process (a zombie counts as none)."""
    stat = read_proc(pid, "stat").rpartition(b")")[2].split()
    return int(stat[19]) if stat and stat[0] != b"Z" else None


def alive(pid):
    return start_time(pid) is not None


class Node:
    """reeved with a configuration and a state folder of its own.

        node = Node(broker, tmp_path / "node", workers=[{"name": "a", "command": SLEEPER}]).start()
    """

    def __init__(self, broker, directory, version=5, workers=(), name=None, credentials=None, wrapper=(), env=None,
                 broker_options=None, extra=None, **section):
        self.broker, self.directory = broker, pathlib.Path(directory)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.name = name or broker.node
        self.state = pathlib.Path(section.pop("state_dir", self.directory / "state"))
        self.version, self.section, self.extra = version, section, extra or {}
        self.workers = list(workers)
        self.credentials = credentials or (self.name, broker.users.get(self.name))
        self.broker_options = broker_options or {}
        self.wrapper, self.env = list(wrapper), env or {}
        self.log_path = self.directory / "reeved.log"
        self.process = None
        self.exit_code = None
        self.log_start = 0
        self.left_behind_ok = False

    # ---- files

    @property
    def config(self):
        return self.directory / "node.json"

    def config_value(self):
        node = {"name": self.name, "root": self.broker.root, "state_dir": str(self.state), "log_level": "debug",
                "heartbeat": "1s", "metrics": "0", **self.section}
        user, password = self.credentials
        broker = {"url": f"mqtt://127.0.0.1:{self.broker.port}", "username": user, "password": password,
                  "version": {5: "5", 4: "3.1.1"}[self.version], **self.broker_options}
        worker_broker = {**broker, "username": "worker", "password": self.broker.users.get("worker")}
        return {"node": node, "broker": broker, "worker_broker": worker_broker, "workers": self.workers, **self.extra}

    def write_config(self, text=None):
        if text is None:
            text = json.dumps(self.config_value(), indent=1)
        with open(os.open(self.config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)

    # ---- process

    def start(self, ready=True, write=True):
        if write:
            self.write_config()
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.directory),
               **{k: os.environ[k] for k in SANITIZER if k in os.environ}, **self.env}
        # A sanitizer keeps freed memory for a while: little of it, so that growth shows here as well.
        env["ASAN_OPTIONS"] = ":".join(filter(None, [env.get("ASAN_OPTIONS"), "quarantine_size_mb=1:thread_local_quarantine_size_kb=64"]))
        self.log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.wrapper, str(harness.BIN / "reeved"), "--config", str(self.config)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd="/")
        self.exit_code = None
        if ready:
            self.wait_log("ready=true")
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def log(self, whole=False):
        """What it wrote since its last start."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[0 if whole else self.log_start:].decode(errors="replace")

    def wait_log(self, text, deadline=harness.DEADLINE, count=1):
        def seen():
            if self.log().count(text) >= count:
                return True
            if not self.running and self.log().count(text) < count:
                raise AssertionError(f"reeved ended with {self.process.poll()} before {text!r}:\n{self.log()[-3000:]}")
            return False
        harness.wait_until(seen, deadline, f"{text!r} in the log of {self.name}")

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.exit_code = self.process.wait(harness.DEADLINE)

    def stop(self, deadline=harness.DEADLINE):
        """SIGTERM, and wait."""
        if self.running:
            self.process.terminate()
        return self.wait(deadline)

    def wait(self, deadline=harness.DEADLINE):
        try:
            self.exit_code = self.process.wait(deadline)
        except subprocess.TimeoutExpired as late:
            raise harness.Late(f"reeved does not end:\n{self.log()[-3000:]}") from late
        return self.exit_code

    def restart(self):
        self.stop()
        return self.start()

    def rss(self):
        """Resident memory in bytes."""
        for line in read_proc(self.pid, "status").splitlines():
            if line.startswith(b"VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("reeved is gone")

    # ---- what it has running

    def shims(self):
        """{pid of the shim: worker's name}"""
        found = {}
        for pid in all_pids():
            if read_proc(pid, "comm").strip() != b"reeve-shim":
                continue
            with contextlib.suppress(OSError, IndexError):  # it may end while we look
                if os.readlink(f"/proc/{pid}/fd/5").startswith(f"{self.state}/"):
                    found[pid] = read_proc(pid, "cmdline").split(b"\0")[1].decode()
        return found

    def processes(self, worker=None):
        """Every process with the environment of a worker of this node, descendants included."""
        mark = f"REEVE_BROKER_FILE={self.state}/workers/{worker + '/' if worker else ''}".encode()
        return [pid for pid in all_pids() if mark in read_proc(pid, "environ") and alive(pid)]

    def cgroups(self):
        return [path for path in glob.glob(f"/sys/fs/cgroup/**/reeve-{self.name}-*", recursive=True)
                if os.path.isdir(path)]

    def sockets(self):
        return list(self.state.glob("runs/*/*/sock"))

    def database(self, sql, *args):
        """Read its store beside it."""
        connection = sqlite3.connect(f"file:{self.state}/reeved.db?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(sql, args).fetchall()
        finally:
            connection.close()

    def journal(self):
        """{id: (phase, terminal)}"""
        return {row[0]: (row[1], bool(row[2])) for row in self.database("SELECT id, phase, terminal FROM journal")}

    # ---- the end

    def close(self):
        """End everything of this node by an ordinary removal of all workers, and see that nothing is left."""
        if self.process is None:
            return
        if self.running:
            self.signal(signal.SIGCONT)
        try:
            if not self.left_behind_ok:
                self._remove_all()
        finally:
            if self.running:
                self.process.terminate()
                try:
                    self.process.wait(harness.DEADLINE)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            left = self._sweep()
        faults = [line for line in self.log(whole=True).splitlines() if "Sanitizer" in line or "runtime error:" in line]
        assert not faults, f"{faults[:5]}\n{self.log()[-5000:]}"
        if not self.left_behind_ok:
            assert not left, f"left behind: {left}\n{self.log()[-3000:]}"
            assert not self.cgroups(), f"control groups left: {self.cgroups()}"
            assert not self.sockets(), f"sockets left: {self.sockets()}"

    def _remove_all(self):
        """By way of the configuration: an empty one removes those of the file, `remove` the others."""
        if not self.running:
            if self.process.returncode == 2 or not (self.state / "reeved.db").exists():
                return
            self.start()
        self.wait_log("ready=true")
        with Control(self.broker, self, "admin", self.version) as control:
            def listed():  # a daemon whose broker was killed a moment ago waits out its back-off first
                with contextlib.suppress(harness.Late):
                    return control.do("", "list", deadline=2)["result"]
                return None
            names = list(harness.wait_until(listed, what="an answer of the daemon")["workers"])
            commands = [control.command(name, op) for name in names for op in ("kill", "remove")]
            for command in commands:
                command.terminal()

    def _sweep(self):
        # A shim leaves when the daemon has taken its outcome: a moment after `ended`, longer on a loaded machine.
        with contextlib.suppress(harness.Late):
            harness.wait_until(lambda: self.left_behind_ok or not [*self.shims(), *self.processes()], 5)
        left = []
        for pid in [*self.shims(), *self.processes()]:
            left.append(read_proc(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace"))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left


# ---- who commands ------------------------------------------------------------------------------------------------------

class Command:
    """One that was sent: its id and what came back."""

    def __init__(self, control, command_id, what):
        self.control, self.id, self.what = control, command_id, what
        self.puback = None  # the broker's word, when it was waited for

    @property
    def replies(self):
        return self.control.replies.get(self.id, [])

    @property
    def phases(self):
        return [reply["phase"] for reply in self.replies]

    def terminals(self):
        return [reply for reply in self.replies if reply["phase"] in TERMINAL]

    def terminal(self, deadline=harness.DEADLINE):
        """The terminal reply; more than one is a mistake of the daemon's."""
        self.control.wait(self.terminals, deadline, lambda: f"terminal reply of {self.what} ({self.id}): {self.phases}{self.fate()}")
        terminals = self.terminals()
        assert len(terminals) == 1, f"{self.what} has {len(terminals)} terminal replies: {terminals}"
        return terminals[0]

    def fate(self):
        """What became of one that is not answered, as far as the broker says."""
        if not self.puback:
            return ""
        nobody = ", nobody has subscribed to it" if self.puback == harness.NO_SUBSCRIBERS else ""
        return f"; the broker said 0x{self.puback:02x}{nobody}; programs of {harness.BIN}"

    def phase(self, phase, deadline=harness.DEADLINE):
        return self.control.wait(
            lambda: next((r for r in self.replies if r["phase"] == phase), None), deadline, f"{phase} of {self.what}")


class Control:
    """A client of one role: sends commands, collects replies, records and events, all decoded."""

    counter = itertools.count(1)

    def __init__(self, broker, node, role="admin", version=5, filters=None):
        self.broker, self.node_name, self.role, self.version = broker, getattr(node, "name", node), role, version
        self.client = broker.client(role, version=version)
        self.replies, self.records, self.events, self.statuses, self.undecoded = {}, {}, [], {}, []
        self.history = {}
        inner = self.client.paho.on_message

        def on_message(mqtt, data, message):
            self._take(message)
            inner(mqtt, data, message)
        self.client.paho.on_message = on_message
        if filters is None:
            filters = [broker.topic("#")] if role == "admin" else [
                broker.topic(below) for below in (f"reply/{role}/+", "node/+/status", "node/+/lwt", "node/+/event",
                                                  "worker/+/+/process", "worker/+/+/status", "worker/+/+/lwt",
                                                  "reply/anonymous/+", "worker/+/+/log")]
        self.client.subscribe(*filters)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.broker.clients = [c for c in self.broker.clients if c is not self.client]
        self.client.close()

    # ---- receiving

    def _take(self, message):
        below = message.topic[len(self.broker.root) + 1:]
        parts = below.split("/")
        if parts[0] not in ("reply", "node", "worker", "audit", "alarm") or "cmd" in parts:
            return
        if parts[0] == "reply" and parts[-1].startswith("probe-"):
            return  # a session that looks whether it hears itself
        try:
            value = msgpack.unpackb(message.payload) if message.payload else None
        except Exception as error:  # kept for whoever asserts on it
            self.undecoded.append((message.topic, message.payload, error))
            return
        with self.client.changed:
            if parts[0] == "reply" and value:
                self.replies.setdefault(parts[-1], []).append(value)
            elif parts[-1] == "event" and parts[0] == "node":
                self.events.append(value)
            else:
                self.records[below] = value
                self.history.setdefault(below, []).append(value)

    def wait(self, predicate, deadline=harness.DEADLINE, what="condition"):
        """The first true value of predicate(), asked again whenever something arrived. `what` may be a function."""
        with self.client.changed:
            value = predicate()
            if not value:
                self.client.changed.wait_for(predicate, deadline)
                value = predicate()
            if not value:
                raise harness.Late(f"not within {deadline:g} s: {what() if callable(what) else what}")
            return value

    def record(self, below):
        with self.client.changed:
            return self.records.get(below)

    def process(self, worker):
        return self.record(f"worker/{self.node_name}/{worker}/process")

    def wait_process(self, worker, predicate, deadline=harness.DEADLINE, what=None):
        """The first process record, now or to come, for which predicate(record) is true; of a removed worker: None."""
        topic = f"worker/{self.node_name}/{worker}/process"

        def seen():
            return topic in self.records and (predicate(self.records[topic]) or None) and [self.records[topic]]
        return self.wait(seen, deadline, lambda: f"{what or 'process'} of {worker}; last {self.records.get(topic)}")[0]

    def wait_state(self, worker, *states, deadline=harness.DEADLINE, run=0):
        return self.wait_process(worker, lambda p: p and p["state"] in states and p["run"] >= run, deadline,
                                 f"{worker} {'/'.join(states)}, run >= {run}")

    def wait_gone(self, worker, deadline=harness.DEADLINE):
        self.wait_process(worker, lambda p: p is None, deadline, f"{worker} removed")

    def wait_event(self, kind, deadline=harness.DEADLINE, **fields):
        def seen():
            return next((e for e in self.events if e["kind"] == kind and
                         all(e.get(key) == value for key, value in fields.items())), None)
        return self.wait(seen, deadline, lambda: f"event {kind} {fields}; last {self.events[-3:]}")

    def status(self):
        return self.record(f"node/{self.node_name}/status")

    def wait_status(self, predicate, deadline=harness.DEADLINE):
        topic = f"node/{self.node_name}/status"
        return self.wait(lambda: self.records.get(topic) and predicate(self.records[topic]) and self.records[topic],
                         deadline, lambda: f"{topic}; last {self.records.get(topic)}")

    # ---- commanding

    def topic(self, worker, op):
        return self.broker.topic(f"worker/{self.node_name}/{worker}/cmd/{op}" if worker
                                 else f"node/{self.node_name}/cmd/{op}")

    def reply_topic(self, command_id):
        return self.broker.topic(f"reply/{self.role}/{command_id}")

    def new_id(self):
        return f"t{next(self.counter)}-{secrets.token_hex(6)}"

    def publish(self, worker, op, payload=b"", **options):
        return self.client.publish(self.topic(worker, op), payload, **options)

    def command(self, worker, op, args=None, form="msgpack", command_id=None, wait=True, **envelope):
        """Send one; `worker` "" means the node. form: msgpack, json, or text/none (MQTT 5: with a response topic)."""
        command_id = command_id or self.new_id()
        command = Command(self, command_id, f"{op} {worker}")
        reply_to = self.reply_topic(command_id)
        if form in ("text", "none"):
            assert self.version == 5, "text has no place for a reply address without MQTT 5"
            payload = args.encode() if form == "text" else b""
            # The id is the daemon's: found through the response topic, which is ours.
            command.puback = self.publish(worker, op, payload, response=reply_to, wait=wait)
            return command
        body = {"id": command_id, "reply_to": reply_to, "args": args or {}, **envelope}
        payload = msgpack.packb(body) if form == "msgpack" else json.dumps(body).encode()
        command.puback = self.publish(worker, op, payload, wait=wait)
        return command

    def do(self, worker, op, args=None, phase="done", deadline=harness.DEADLINE, **options):
        """Command, and the terminal reply, which must have this phase (None = any)."""
        reply = self.command(worker, op, args, **options).terminal(deadline)
        assert phase is None or reply["phase"] == phase, f"{op} {worker} {args}: {reply}"
        return reply

    def refused(self, worker, op, args=None, code=None, says="", phase="rejected", **options):
        """Command that must be refused, with this code and these words."""
        reply = self.do(worker, op, args, phase, **options)
        assert code is None or reply["code"] == code, reply
        assert says in reply["message"], reply
        return reply

    def apply(self, *specs, phase="done", deadline=harness.DEADLINE, **options):
        return self.do("", "apply", {"workers": list(specs)}, phase, deadline, **options)

    def describe(self, worker=None):
        result = self.do("", "describe", {"workers": worker} if worker else None)["result"]
        return result["workers"][worker] if worker else result

    def wait_counter(self, name, value):
        """Until the daemon has counted this much: what was sent before has arrived (there is no order across topics)."""
        return harness.wait_until(lambda: self.describe()["counters"][name] >= value or None,
                                  what=f"counter {name} {value}: {self.describe()['counters']}")

    def log_lines(self, worker, tail=1000):
        return self.do(worker, "logs", {"tail": tail})["result"]["workers"][worker]

    def logs(self, worker, tail=1000):
        """What the worker itself wrote."""
        return [line["text"] for line in self.log_lines(worker, tail) if line["stream"] != "shim"]


def now_ms():
    return int(time.time() * 1000)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]

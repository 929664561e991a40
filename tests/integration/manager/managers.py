"""What the tests of the manager share: a broker for several nodes, reeve-manager with its own state folder, and somebody
who steers the fleet.

    broker = FleetBroker(tmp_path / "broker", "alpha", "beta", "gamma").start()
    manager = Manager(broker, tmp_path / "manager").start()
    steer = Steer(broker); steer.pool("demo", "scale", "3")

Nothing here sleeps; every wait has a deadline. Must not use code of ours to speak MQTT or msgpack.
"""
import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys

import harness

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "daemon"))
import nodes  # noqa: E402

PARTS = ("reply", "node", "worker", "fleet", "pool", "account", "manager", "alarm", "audit", "queue")


class FleetBroker(harness.Broker):
    """A site's Mosquitto with more than one node: the blocks of the first node and its workers, again for each."""

    def __init__(self, directory, *names, **options):
        self.names = names
        more = [user for name in names[1:] for user in (name, f"worker-{name}")]
        super().__init__(directory, node=names[0], users=more, **options)

    def _fill(self, template, values):
        text = super()._fill(template, values)
        if template != "acl.in":
            return text
        raw = (harness.SOURCE / "broker-config" / template).read_text()
        blocks = re.split(r"(?m)^(?=user )", raw)
        for name in self.names[1:]:
            for block in blocks:
                if block.startswith("user @NODE@"):
                    text += "\n" + block.replace("@NODE@", name).replace("@ROOT@", self.root)
                elif block.startswith("user worker"):
                    text += "\n" + block.replace("user worker", f"user worker-{name}", 1).replace("@NODE@", name).replace(
                        "@ROOT@", self.root)
        return text


class FleetNode(nodes.Node):
    """A node of a FleetBroker: its workers have a user of their own, so that a node's rights are its own."""

    def config_value(self):
        value = super().config_value()
        if self.name != self.broker.node:
            user = f"worker-{self.name}"
            value["worker_broker"] = {**value["worker_broker"], "username": user, "password": self.broker.users[user]}
        return value


class Manager:
    """reeve-manager with a configuration and a state folder of its own."""

    def __init__(self, broker, directory, name="main", version=5, env=None, wrapper=(), broker_options=None, **section):
        self.broker, self.directory, self.name = broker, pathlib.Path(directory), name
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state = pathlib.Path(section.pop("state_dir", self.directory / "state"))
        self.version, self.section, self.env, self.wrapper = version, section, env or {}, list(wrapper)
        self.broker_options = broker_options or {}
        self.log_path = self.directory / "manager.log"
        self.log_start = 0
        self.process = None

    @property
    def config(self):
        return self.directory / "manager.json"

    def config_value(self):
        return {"manager": {"name": self.name, "root": self.broker.root, "state_dir": str(self.state), "log_level": "debug",
                            "heartbeat": "1s", **self.section},
                "broker": {"url": f"mqtt://127.0.0.1:{self.broker.port}", "username": "manager",
                           "password": self.broker.users["manager"], "version": {5: "5", 4: "3.1.1"}[self.version],
                           **self.broker_options}}

    def start(self, ready=True):
        with open(os.open(self.config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(self.config_value(), file, indent=1)
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.directory),
               **{k: os.environ[k] for k in nodes.SANITIZER if k in os.environ}, **self.env}
        # What was freed and is kept to find its use would look like a leak to who measures memory.
        env["ASAN_OPTIONS"] = ":".join(filter(None, [env.get("ASAN_OPTIONS"),
                                                     "quarantine_size_mb=1:thread_local_quarantine_size_kb=64"]))
        self.log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.wrapper, str(harness.BIN / "reeve-manager"), "--config", str(self.config)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd="/")
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
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[0 if whole else self.log_start:].decode(errors="replace")

    def wait_log(self, text, deadline=harness.DEADLINE, count=1):
        def seen():
            if self.log().count(text) >= count:
                return True
            if not self.running and self.log().count(text) < count:
                raise AssertionError(
                    f"reeve-manager ended with {self.process.poll()} before {text!r}:\n{self.log()[-3000:]}")
            return False
        harness.wait_until(seen, deadline, f"{text!r} in the manager's log")

    def kill(self):
        self.process.kill()
        return self.process.wait(harness.DEADLINE)

    def stop(self, deadline=harness.DEADLINE):
        if self.running:
            self.process.terminate()
        return self.process.wait(deadline)

    def restart(self):
        self.stop()
        return self.start()

    def rss(self):
        for line in nodes.read_proc(self.pid, "status").splitlines():
            if line.startswith(b"VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the manager is gone")

    def database(self, sql, *args):
        connection = sqlite3.connect(f"file:{self.state}/manager.db?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(sql, args).fetchall()
        finally:
            connection.close()

    def close(self):
        if self.process is None:
            return
        if self.running:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(harness.DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        text = self.log(whole=True)
        faults = [line for line in text.splitlines() if "Sanitizer" in line or "runtime error:" in line or "assert" in line]
        assert not faults, f"{faults[:5]}\n{text[-5000:]}"


class Steer(nodes.Control):
    """Somebody with a role who sees the whole site and commands manager, pools and accounts.

    Records are by topic below the root; `history` keeps all of each topic, `pool_events` those of pools."""

    def __init__(self, broker, role="admin", version=5, manager="main"):
        self.manager_name = manager
        self.pool_events = {}
        super().__init__(broker, broker.node, role, version)

    def _take(self, message):
        below = message.topic[len(self.broker.root) + 1:]
        parts = below.split("/")
        if parts[0] not in PARTS or "cmd" in parts or (parts[0] == "reply" and parts[-1].startswith("probe-")):
            return
        try:
            value = nodes.msgpack.unpackb(message.payload) if message.payload else None
        except Exception as error:  # kept for whoever asserts on it
            self.undecoded.append((message.topic, message.payload, error))
            return
        with self.client.changed:
            if parts[0] == "reply" and value:
                self.replies.setdefault(parts[-1], []).append(value)
            elif parts[-1] == "event":
                (self.events if parts[0] == "node" else self.pool_events.setdefault(parts[1], [])).append(value)
            else:
                self.records[below] = value
                self.history.setdefault(below, []).append(value)
            self.client.changed.notify_all()

    # ---- commands: `worker` of the base class is a path here: "manager", "pool/demo", "account/a", "node/alpha", "worker/a/b"

    def topic(self, worker, op):
        path = f"manager/{self.manager_name}" if worker in ("", "manager") else worker
        return self.broker.topic(f"{path}/cmd/{op}")

    def manager(self, op, args=None, phase="done", **options):
        return self.do("manager", op, args, phase, **options)

    def pool(self, pool, op, args=None, phase="done", **options):
        if isinstance(args, str):
            options.setdefault("form", "msgpack")
            args = {"size": args} if op == "scale" else {"lease_id": args}
        return self.do(f"pool/{pool}", op, args, phase, **options)

    def account(self, account, op, args=None, phase="done", **options):
        return self.do(f"account/{account}", op, args, phase, **options)

    # ---- seeing

    def wait_record(self, below, predicate, deadline=harness.DEADLINE, what=None):
        def seen():
            return below in self.records and predicate(self.records[below]) and [self.records[below]]
        return self.wait(seen, deadline, lambda: f"{what or below}; last {self.records.get(below)}")[0]

    def wait_pool(self, pool, predicate, deadline=harness.DEADLINE, what=None):
        return self.wait_record(f"pool/{pool}/status", lambda r: r is not None and predicate(r), deadline, what)

    def wait_ready(self, pool, count, deadline=harness.DEADLINE):
        return self.wait_pool(pool, lambda s: s["ready"] == count and s["size"] == count and s["leaving"] == 0, deadline,
                              f"pool {pool} with {count} ready")

    def verdict(self, node, worker):
        return self.record(f"fleet/{node}/{worker}")

    def wait_verdict(self, node, worker, predicate, deadline=harness.DEADLINE):
        return self.wait_record(f"fleet/{node}/{worker}", predicate, deadline)

    def running_of(self, pool):
        """{(node, worker)} whose process record says running, as the nodes say."""
        with self.client.changed:
            return {tuple(below.split("/")[1:3]) for below, record in self.records.items()
                    if below.startswith("worker/") and below.endswith("/process") and record
                    and record.get("pool") == pool and record["state"] == "running"}

"""A reader with the real registry and fold (fold-watch), and the fixtures of tests about presence and faults.

The broker, the node and who commands it come from daemon/. Nothing here sleeps; every wait has a deadline.
"""
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest

import harness

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE / "daemon"))
import nodes  # noqa: E402

_spec = importlib.util.spec_from_file_location("daemon_conftest", HERE / "daemon/conftest.py")
_daemon = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_daemon)
kind, broker, make_node, node, admin, node_name = (
    _daemon.kind, _daemon.broker, _daemon.make_node, _daemon.node, _daemon.admin, _daemon.node_name)
three_brokers = _daemon.three_brokers

# Of the workers and nodes here, so that silence shows soon: 2.5 of them.
HEARTBEAT_MS = 1000


def probe(name="mm-1", heartbeat_ms=HEARTBEAT_MS, **spec):
    """Spec of a worker that speaks Reeve."""
    env = {"REEVE_HEARTBEAT_MS": str(heartbeat_ms), **spec.pop("env", {})}
    return {"name": name, "type": "probe", "env": env, **spec}


def plain(name="plain", **spec):
    """Spec of a worker that does not."""
    return {"name": name, "command": nodes.SLEEPER, **spec}


class Watch:
    """fold-watch as a process; `lines` grows with every change of a verdict."""

    def __init__(self, broker, directory, version=5, role="viewer", once=False, bold=True, url=None, wrapper=(),
                 keep_alive="5s"):
        """bold: no grace time at the start, so that a death shows at once."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.node, self.lines, self.changed = broker.node, [], threading.Condition()
        file = directory / f"watch-{os.urandom(4).hex()}.json"
        record = {"url": url or f"mqtt://127.0.0.1:{broker.port}", "username": role, "password": broker.users[role],
                  "version": {5: "5", 4: "3.1.1"}[version], "keep_alive": keep_alive}
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as out:
            json.dump(record, out)
        self.log_path = file.with_suffix(".log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*wrapper, str(harness.BIN / "fold-watch"), "--broker", str(file), "--root", broker.root, "--client", role,
                 *(["--once"] if once else []), *(["--bold"] if bold else [])], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for text in self.process.stdout:
            with self.changed:
                self.lines.append(json.loads(text))
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def wait(self, found, deadline=harness.DEADLINE, what="condition"):
        """found(lines) until it is true; returns it."""
        with self.changed:
            if not self.changed.wait_for(lambda: found(self.lines), deadline):
                raise harness.Late(f"not within {deadline:g} s: {what}; last lines:\n" +
                                   "\n".join(json.dumps(line) for line in self.lines[-12:]))
            return found(self.lines)

    def mark(self):
        """A place in the timeline, to be given as `since`."""
        with self.changed:
            return len(self.lines)

    def key(self, worker):
        return worker if "/" in worker else f"{self.node}/{worker}"

    def verdicts(self, worker, since=0):
        """All verdicts about it, in order."""
        with self.changed:
            return [line for line in self.lines[since:]
                    if line["kind"] == "verdict" and line["worker"] == self.key(worker)]

    def states(self, worker, since=0):
        """Its states in order, without repetitions: what a person sees."""
        seen = []
        for line in self.verdicts(worker, since):
            if not seen or seen[-1] != line["state"]:
                seen.append(line["state"])
        return seen

    def last(self, worker):
        verdicts = self.verdicts(worker)
        return verdicts[-1] if verdicts else None

    def wait_verdict(self, worker, predicate, deadline=harness.DEADLINE, since=0, what=None):
        """The first verdict after `since` for which predicate(verdict) is true."""
        key = self.key(worker)
        return self.wait(lambda lines: next((line for line in lines[since:] if line["kind"] == "verdict" and
                                             line["worker"] == key and predicate(line)), None),
                         deadline, what or f"verdict of {key}")

    def wait_state(self, worker, *states, deadline=harness.DEADLINE, since=0):
        return self.wait_verdict(worker, lambda v: v["state"] in states, deadline, since, f"{worker} {'/'.join(states)}")

    def wait_now(self, worker, predicate, deadline=harness.DEADLINE, what=None):
        """Until its newest verdict is one for which predicate(verdict) is true."""
        key = self.key(worker)

        def found(lines):
            line = next((line for line in reversed(lines) if line["kind"] == "verdict" and line["worker"] == key), None)
            return line if line and predicate(line) else None
        return self.wait(found, deadline, what or f"newest verdict of {key}")

    def wait_line(self, kind, deadline=harness.DEADLINE, since=0, **fields):
        return self.wait(lambda lines: next((line for line in lines[since:] if line["kind"] == kind and
                                             all(line.get(k) == v for k, v in fields.items())), None),
                         deadline, f"{kind} {fields}")

    def wait_ready(self, since=0, deadline=harness.DEADLINE):
        return self.wait_line("session", deadline, since, ready=True)

    def wait_clear(self, since=0, deadline=60):
        """Until verdicts are no longer held [session-9]."""
        return self.wait_line("held", deadline, since, held=False)

    def count(self, kind, since=0, **fields):
        with self.changed:
            return sum(line["kind"] == kind and all(line.get(k) == v for k, v in fields.items())
                       for line in self.lines[since:])

    def stays(self, seconds, since):
        """Wait so long, and return what was said in the meantime: for what must not happen."""
        with self.changed:
            self.changed.wait_for(lambda: False, seconds)
            return self.lines[since:]

    def finish(self, deadline=harness.DEADLINE):
        """With once=True: wait for its end."""
        self.process.wait(deadline)
        self.reader.join(deadline)
        return self

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(harness.DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.reader.join(harness.DEADLINE)
        self.process.stdout.close()


@pytest.fixture
def make_watch(broker, kind, tmp_path):
    """make_watch(**options) -> a Watch that is ready."""
    made = []

    def make(**options):
        options.setdefault("version", kind.version)
        watch = Watch(options.pop("broker", broker), tmp_path / "watch", **options)
        made.append(watch)
        if options.get("once"):
            return watch.finish()
        watch.wait_ready()
        return watch

    yield make
    for watch in made:
        watch.close()
    for logs in tmp_path.glob("*/state/logs"):  # the end of the node removes its workers and their logs
        shutil.copytree(logs, tmp_path / "worker-logs", dirs_exist_ok=True)


@pytest.fixture
def watch(make_watch):
    return make_watch()

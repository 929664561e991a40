"""reeve-worker-command as a process of its own, and scripts for it to run.

    worker = CommandWorker(broker, tmp_path, {"queue": "q", "argv": ["sh", "-c", "echo hello"]}).start()

Nothing here sleeps but for an interval of polling; every wait has a deadline."""
import json
import os
import pathlib
import signal
import subprocess

import harness

COMMAND = harness.BIN / "reeve-worker-command"


class CommandWorker:
    def __init__(self, broker, directory, config, name="cmd-1", heartbeat_ms=1000, env=None, level="debug", version="5"):
        self.broker, self.name, self.directory = broker, name, pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_path = self.directory / f"{name}.log"
        broker_file, self.config_file = self.directory / f"{name}-broker.json", self.directory / f"{name}.yaml"
        self._write(broker_file, {"url": f"mqtt://127.0.0.1:{broker.port}", "username": "worker",
                                  "password": broker.users["worker"], "version": version})
        self.configure(config)
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "REEVE_ROOT": broker.root, "REEVE_NODE": broker.node,
                            "REEVE_WORKER": name, "REEVE_BROKER_FILE": str(broker_file), "REEVE_CONFIG_FILE": str(self.config_file),
                            "REEVE_HEARTBEAT_MS": str(heartbeat_ms), "REEVE_LOG_LEVEL": level, **(env or {})}
        for key in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if key in os.environ:
                self.environment[key] = os.environ[key]
        self.process = None

    @staticmethod
    def _write(path, value):
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(value if isinstance(value, str) else json.dumps(value))

    def configure(self, config):
        """Text (YAML) or a value."""
        self._write(self.config_file, config)

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([COMMAND], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        return self

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, text, deadline=harness.DEADLINE):
        harness.wait_until(lambda: text in self.log(), deadline, f"{text!r} in {self.log()[-2000:]}")

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        return self.process.wait(harness.DEADLINE)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(harness.DEADLINE)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(harness.DEADLINE)


def sh(text):
    """argv of a script that a shell is given as an argument, its braces taken literally: what a person would write as a file."""
    return ["sh", "-c", text.replace("{", "{{").replace("}", "}}")]


def pids_marked(mark):
    """Processes with MARK=mark in their environment: all that descends from a command that was given it."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={mark}".encode() in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
        except OSError:
            pass  # gone meanwhile, or another's
    return found


# One of the command's group, one of a session of its own, one that forked twice and lost its parent.
FAMILY = "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'sleep 1000 & exit' &); "
FAMILY_LEN = 3


def wait_family(mark, count):
    harness.wait_until(lambda: len(pids_marked(mark)) >= count, what=f"{count} processes of {mark}: {pids_marked(mark)}")


def wait_gone(mark, deadline=harness.DEADLINE):
    harness.wait_until(lambda: not pids_marked(mark), deadline, f"no process of {mark}: {pids_marked(mark)}")

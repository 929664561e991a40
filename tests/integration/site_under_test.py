"""A whole site as a person starts it: `reeve up` in a folder of its own, on any free port.

    with Site(tmp_path / "site") as site:
        site.reeve("apply", "-f", "-", input=yaml)
        assert site.json("ls")["workers"][0]["state"] == "running"

Its end is checked: no process and no control group of it may be left. Nothing sleeps; every wait has a deadline.
"""
import glob
import json
import os
import pathlib
import secrets
import signal
import subprocess

import harness

DEADLINE = 60.0  # of starting and of stopping a site, on a loaded machine


class Site:
    def __init__(self, directory, *options, config=None, port=0, env=None):
        """options: more of `reeve up`; config: text or value for its --config; env: added to the environment."""
        self.directory = pathlib.Path(directory)
        self.options = [str(option) for option in options]
        self.port_option = port
        self.env = {**os.environ, "NO_COLOR": "1", **(env or {})}
        self.env.pop("REEVE_SITE", None)
        self.process = None
        self.config = None
        # A name of its own, so that its control groups can be told from those of other sites on this machine.
        if "--name" not in self.options:
            self.options += ["--name", f"s{secrets.token_hex(4)}"]
        self.node = self.options[self.options.index("--name") + 1]
        if config is not None:
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            self.config = self.directory.parent / f"{self.directory.name}-config.yaml"
            self.config.write_text(config if isinstance(config, str) else json.dumps(config))
            self.options += ["--config", str(self.config)]

    # ---- life

    def start(self, ready=True):
        self.err_path = self.directory.parent / f"{self.directory.name}.err"
        with open(self.err_path, "ab") as err:
            self.process = subprocess.Popen(
                [str(harness.BIN / "reeve"), "up", "--dir", str(self.directory),
                 *([] if self.port_option is None else ["--port", str(self.port_option)]), *self.options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, env=self.env, text=True)
        if ready:
            line = self.process.stdout.readline()
            assert line == "site ready\n", f"reeve up said {line!r}: {self.err()}"
        return self

    def err(self):
        return self.err_path.read_text(errors="replace")

    @property
    def file(self):
        """site.json as it is now."""
        return json.loads((self.directory / "site.json").read_text())

    @property
    def port(self):
        return self.file["broker"]["port"]

    @property
    def root(self):
        return self.file["root"]

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def daemon_pid(self):
        """Of reeved: the child of `reeve up`."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(children) == 1, children
        return int(children[0])

    def wait(self):
        """Its exit code; everything it started has to be gone."""
        code = self.process.wait(DEADLINE)
        self.process.stdout.close()
        return code

    def stop(self, number=signal.SIGTERM):
        if not self.running:
            return self.process.returncode
        self.process.send_signal(number)
        return self.wait()

    def processes(self):
        """Processes of this site: those with its folder in their command line or its worker directory as theirs."""
        found = {}
        for entry in glob.glob("/proc/[0-9]*"):
            try:
                command = pathlib.Path(entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                status = pathlib.Path(entry, "stat").read_text().rsplit(")", 1)[1].split()[0]
                environ = pathlib.Path(entry, "environ").read_bytes()
            except OSError:
                continue
            mine = f"{self.directory}/" in command or command.rstrip().endswith(str(self.directory))
            mine = mine or f"REEVE_NODE={self.node}\0".encode() in environ
            if mine and status != "Z":
                found[int(entry.rsplit("/", 1)[1])] = command
        return found

    def cgroups(self):
        return [path for path in glob.glob(f"/sys/fs/cgroup/**/reeve-{self.node}-*", recursive=True) if os.path.isdir(path)]

    def check_nothing_left(self):
        harness.wait_until(lambda: not self.processes(), what=f"end of {self.processes()}")
        harness.wait_until(lambda: not self.cgroups(), what=f"end of {self.cgroups()}")

    def close(self):
        """Stop it in order and assert that nothing is left."""
        if self.process is None:
            return
        code = self.stop()
        try:
            self.check_nothing_left()
        finally:
            for pid in self.processes():  # of a test that failed: leave nothing to the next one
                os.kill(pid, signal.SIGKILL)
        assert code == 0 or self.expected_code == code, f"reeve up ended with {code}: {self.err()}"

    expected_code = 0

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    # ---- the command line

    def run(self, *arguments, input=None, check=None, timeout=DEADLINE, env=None):
        """reeve ARGUMENTS against this site: a CompletedProcess with text. check: the exit code that is expected."""
        done = subprocess.run([str(harness.BIN / "reeve"), *map(str, arguments)], input=input, capture_output=True, text=True,
                              timeout=timeout, env={**self.env, "REEVE_SITE": str(self.directory), **(env or {})})
        if check is not None:
            assert done.returncode == check, f"{arguments}: {done.returncode}, expected {check}\n{done.stdout}{done.stderr}"
        return done

    def reeve(self, *arguments, **options):
        """The same, expected to be done (exit 0)."""
        return self.run(*arguments, **{"check": 0, **options})

    def json(self, *arguments, check=0, **options):
        return json.loads(self.run(*arguments, "--json", check=check, **options).stdout)

    def apply(self, *specs):
        """specs: worker specs as maps."""
        return self.json("apply", "-f", "-", input=json.dumps({"workers": list(specs)}))

    def worker(self, name):
        """As `ls` shows it; None when it is not there."""
        return next((worker for worker in self.json("ls")["workers"] if worker["name"] == name), None)

    def wait_state(self, name, *states):
        def seen():
            worker = self.worker(name)
            return worker if worker and worker["state"] in states else None
        return harness.wait_until(seen, DEADLINE, f"{name} in {states}", interval=0.1)

    # ---- MQTT by another's code

    def client(self, role="admin", **options):
        user = self.file["users"][role]
        return harness.connect(self.port, user["username"], user["password"], **options)

    def topic(self, below):
        return f"{self.root}/{below}"

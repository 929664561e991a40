#!/usr/bin/python3
"""Reeve beside supervisord, PM2 and runit: the same worker, on the same machine, in the same run, in turns.

The worker is reeve-bench-pulse, which says itself when it runs and as which process, so that no supervisor's own word is
measured. README.md says how to install the peers; one that is not there is left out with a note.

Must not: use anything of the machine's own supervisors, or leave a process or a file behind.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

CROWD = 100
DEADLINE = 60.0  # seconds: far more than any single step takes
# runit holds a service back that lived for less than a second, PM2 counts it as unstable: all are killed later than that.
SETTLED = 1.1
BIN = pathlib.Path(os.environ.get("REEVE_BIN", pathlib.Path(__file__).resolve().parents[2] / "build/release/bin"))


class Failed(Exception):
    """A peer does not do what is measured here."""


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)  # the worker's clock


def stat_of(pid):
    """(state, parent, start time) of /proc/<pid>/stat, None when there is no such process."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1]), int(fields[19])


def alive(pid):
    stat = stat_of(pid)
    return stat is not None and stat[0] not in "ZX"


def memory_kb(pid, leaf, key):
    try:
        for line in pathlib.Path(f"/proc/{pid}/{leaf}").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def wait_until(predicate, what):
    end = time.monotonic() + DEADLINE
    while not predicate():
        if time.monotonic() > end:
            raise Failed(f"not within {DEADLINE:g} s: {what}")
        time.sleep(0.0005)


class Pulses:
    """What workers say: {name: (pid, ns of the worker's first instruction)}."""

    def __init__(self, path):
        self.path, self.last, self.pids = path, {}, set()
        self.changed = threading.Condition()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self):
        while True:
            name, pid, ns = self.socket.recv(256).decode().split()
            with self.changed:
                self.last[name] = (int(pid), int(ns))
                self.pids.add((int(pid), int(ns)))
                self.changed.notify_all()

    def wait(self, names, since_ns):
        """The pulses of all of `names` that are younger than since_ns."""
        def all_there():
            return all(self.last.get(name, (0, 0))[1] > since_ns for name in names)
        with self.changed:
            if not self.changed.wait_for(all_there, DEADLINE):
                missing = [n for n in names if self.last.get(n, (0, 0))[1] <= since_ns]
                raise Failed(f"not within {DEADLINE:g} s: {len(missing)} workers run, such as {missing[0]}")
            return {name: self.last[name] for name in names}


# ---- the supervisors ---------------------------------------------------------------------------------------------------

class Supervisor:
    """One of those compared, with `one` and CROWD workers that are defined and stopped."""

    name = version = None
    note = ""

    def __init__(self, directory):
        self.dir = directory / self.name
        self.dir.mkdir()
        self.pulses = Pulses(self.dir / "pulse")
        self.env = {**os.environ, "HOME": str(self.dir)}
        self.process = None
        self.one = "one"
        self.crowd = [f"crowd-{i:03d}" for i in range(CROWD)]

    def worker(self, name):
        return [str(BIN / "reeve-bench-pulse"), str(self.pulses.path), name]

    def spawn(self, *argv):
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.env, cwd=self.dir)

    def run(self, *argv, check=True):
        done = subprocess.run([str(a) for a in argv], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=DEADLINE)
        if check and done.returncode:
            raise Failed(f"{' '.join(map(str, argv[:4]))}: exit {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
        return done.stdout

    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    def daemon(self):
        """Pid of the daemon."""
        return self.process.pid

    def helpers(self):
        """Pids of what it keeps per worker."""
        return []

    def close(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Reeve(Supervisor):
    name = "reeve"

    @staticmethod
    def missing():
        return None if os.access(BIN / "reeve", os.X_OK) else f"no reeve in {BIN}"

    def open(self):
        self.version = self.run(BIN / "reeve", "version").split()[-1]
        specs = [{"name": name, "type": "crowd" if name != self.one else "one", "command": self.worker(name),
                  "desired": "stopped", "restart": {"initial": "0", "limit": 0}} for name in [self.one, *self.crowd]]
        (self.dir / "node.json").write_text(json.dumps({"workers": specs}))
        self.spawn(BIN / "reeve", "up", "--dir", self.dir / "site", "--port", "0", "--config", self.dir / "node.json")
        wait_until(lambda: "site ready" in self.log() or self.process.poll() is not None, "site ready")

    def act(self, op, *what):
        self.run(BIN / "reeve", op, "--site", self.dir / "site", *what)

    def start_one(self):
        self.act("start", self.one)

    def stop_one(self):
        self.act("stop", self.one)

    def start_crowd(self):
        self.act("start", "--type", "crowd")

    def stop_crowd(self):
        self.act("stop", "--type", "crowd")

    def daemon(self):
        for entry in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            if pathlib.Path(f"/proc/{entry}/comm").read_text().strip() == "reeved":
                return int(entry)
        raise Failed("no reeved below reeve up")

    def helpers(self):
        return [stat_of(self.pulses.last[name][0])[1] for name in self.crowd]


class Supervisord(Supervisor):
    name = "supervisord"

    @staticmethod
    def missing():
        return None if shutil.which("supervisord") else "package supervisor is not installed"

    def open(self):
        self.version = self.run("supervisord", "--version").strip()
        self.conf = self.dir / "supervisord.conf"
        common = "autostart=false\nautorestart=true\nstartsecs=0\n"
        self.conf.write_text(
            f"[unix_http_server]\nfile={self.dir}/sock\n"
            f"[supervisord]\nnodaemon=true\nuser={'root' if os.geteuid() == 0 else os.environ['USER']}\n"
            f"logfile={self.dir}/supervisord.log\npidfile={self.dir}/pid\nchildlogdir={self.dir}\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{self.dir}/sock\n"
            f"[program:one]\ncommand={' '.join(self.worker('one'))}\n{common}"
            f"[program:crowd]\ncommand={' '.join(self.worker('crowd-%(process_num)03d'))}\n"
            f"process_name=crowd-%(process_num)03d\nnumprocs={CROWD}\n{common}")
        self.spawn("supervisord", "-c", self.conf)
        wait_until((self.dir / "sock").exists, "supervisord's socket")

    def act(self, *what):
        self.run("supervisorctl", "-c", self.conf, *what)

    def start_one(self):
        self.act("start", "one")

    def stop_one(self):
        self.act("stop", "one")

    def start_crowd(self):
        self.act("start", "crowd:*")

    def stop_crowd(self):
        self.act("stop", "crowd:*")


class Runit(Supervisor):
    name = "runit"
    note = "runsv per service, no log service"

    @staticmethod
    def missing():
        return None if shutil.which("runsvdir") and shutil.which("sv") else "package runit is not installed"

    def open(self):
        versions = self.run("dpkg-query", "-W", "-f", "${Version}", "runit", check=False)
        self.version = versions.strip() or "unknown"
        services = self.dir / "services"
        for name in [self.one, *self.crowd]:
            (services / name).mkdir(parents=True)
            (services / name / "down").touch()
            run = services / name / "run"
            run.write_text(f"#!/bin/sh\nexec {' '.join(self.worker(name))}\n")
            run.chmod(0o755)
        self.env["SVDIR"] = str(services)
        self.services = services
        self.spawn("runsvdir", "-P", services)
        wait_until(lambda: all((services / n / "supervise/ok").exists() for n in [self.one, *self.crowd]), "all runsv")

    def start_one(self):
        self.run("sv", "start", self.one)

    def stop_one(self):
        self.run("sv", "stop", self.one)

    def start_crowd(self):
        self.run("sv", "start", *self.crowd)

    def stop_crowd(self):
        self.run("sv", "stop", *self.crowd)

    def helpers(self):
        return [stat_of(self.pulses.last[name][0])[1] for name in self.crowd]

    def close(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)  # also ends every runsv, and with it its service
            self.process.wait(DEADLINE)
            wait_until(lambda: not any(alive(pid) for pid, _ in self.pulses.last.values()), "runit's services end")


class Pm2(Supervisor):
    name = "pm2"

    @staticmethod
    def missing():
        return None if shutil.which("npm") and shutil.which("node") else "node and npm are not installed"

    def open(self):
        self.env["PM2_HOME"] = str(self.dir / "home")
        self.run("npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", self.dir, "pm2")
        self.program = self.dir / "node_modules/.bin/pm2"
        self.version = json.loads((self.dir / "node_modules/pm2/package.json").read_text())["version"]
        apps = [{"name": name, "namespace": "crowd" if name != self.one else "single", "script": self.worker(name)[0],
                 "args": self.worker(name)[1:], "interpreter": "none", "autorestart": True}
                for name in [self.one, *self.crowd]]
        (self.dir / "apps.json").write_text(json.dumps({"apps": apps}))
        self.act("start", self.dir / "apps.json")
        self.act("stop", "all")

    def act(self, *what):
        self.run(self.program, *what)

    def start_one(self):
        self.act("start", self.one)

    def stop_one(self):
        self.act("stop", self.one)

    def start_crowd(self):
        self.act("start", "crowd")

    def stop_crowd(self):
        self.act("stop", "crowd")

    def daemon(self):
        return int((self.dir / "home/pm2.pid").read_text())

    def close(self):
        if (self.dir / "home/pm2.pid").exists():
            pid = self.daemon()
            self.run(self.program, "kill", check=False)
            wait_until(lambda: not alive(pid), "PM2's daemon ends")


SUPERVISORS = (Reeve, Supervisord, Runit, Pm2)


# ---- measuring -----------------------------------------------------------------------------------------------------------

MEASURES = {
    "start_one": "start one by CLI: the CLI has ended and the worker runs, ms",
    "restart": "SIGKILL of a worker older than a second -> first instruction of the next, ms",
    "stop_one": "stop one by CLI: the CLI has ended and the process is gone, ms",
    "start_100": "start 100 by one CLI call: it has ended and all run, ms",
    "stop_100": "stop 100 by one CLI call: it has ended and all are gone, ms",
    "rss": "resident memory of the daemon with 100 running, kB",
    "pss_all": "proportional memory of daemon and helpers with 100 running, kB",
}


class Samples:
    def __init__(self):
        self.values = {name: [] for name in MEASURES}
        self.processes = set()
        self.gone = self.started = 0

    def timed(self, measure, begun_ns, *ends_ns):
        self.values[measure].append((max(ends_ns) - begun_ns) / 1e6)


def start(supervisor, samples, measure, call, names):
    begun = now_ns()
    call()
    ended = now_ns()
    pulses = supervisor.pulses.wait(names, begun)
    samples.timed(measure, begun, ended, *(ns for _, ns in pulses.values()))
    for pid, _ in pulses.values():
        samples.started += 1
        if alive(pid):
            samples.processes.add((pid, stat_of(pid)[2]))


def stop(supervisor, samples, measure, call, names):
    pids = [supervisor.pulses.last[name][0] for name in names]
    begun = now_ns()
    call()
    while any(alive(pid) for pid in pids):
        if now_ns() - begun > DEADLINE * 1e9:
            raise Failed(f"{supervisor.name} does not stop its workers")
    samples.timed(measure, begun, now_ns())
    samples.gone += len(pids)


def kill(supervisor, samples):
    pid = supervisor.pulses.last[supervisor.one][0]
    begun = now_ns()
    os.kill(pid, signal.SIGKILL)
    new_pid, ns = supervisor.pulses.wait([supervisor.one], begun)[supervisor.one]
    samples.timed("restart", begun, ns)
    samples.started += 1
    samples.gone += 1
    if new_pid != pid and alive(new_pid):
        samples.processes.add((new_pid, stat_of(new_pid)[2]))


def weigh(supervisor, samples):
    daemon = supervisor.daemon()
    samples.values["rss"].append(memory_kb(daemon, "status", "VmRSS:"))
    samples.values["pss_all"].append(sum(memory_kb(pid, "smaps_rollup", "Pss:") for pid in [daemon, *supervisor.helpers()]))


def round_of_one(supervisors, samples):
    for s in supervisors:
        start(s, samples[s.name], "start_one", s.start_one, [s.one])
    time.sleep(SETTLED)  # the age of the workers is part of what is measured
    for s in supervisors:
        kill(s, samples[s.name])
    for s in supervisors:
        stop(s, samples[s.name], "stop_one", s.stop_one, [s.one])


def round_of_crowds(supervisors, samples):
    for s in supervisors:
        start(s, samples[s.name], "start_100", s.start_crowd, s.crowd)
        weigh(s, samples[s.name])
        stop(s, samples[s.name], "stop_100", s.stop_crowd, s.crowd)


def measure(supervisors, rounds, crowd_rounds):
    samples = {s.name: Samples() for s in supervisors}
    every = max(1, rounds // crowd_rounds)
    for i in range(rounds):
        turn = supervisors[i % len(supervisors):] + supervisors[:i % len(supervisors)]
        round_of_one(turn, samples)
        if i % every == 0 and i // every < crowd_rounds:
            round_of_crowds(turn, samples)
        if sys.stderr.isatty():
            print(f"round {i + 1} of {rounds}", file=sys.stderr)
    return samples


# ---- telling ---------------------------------------------------------------------------------------------------------------

def summary(values):
    ordered = sorted(values)
    rank = max(0, -(-len(ordered) * 99 // 100) - 1)
    return {"rounds": len(ordered), "min": round(ordered[0], 3), "p50": round(statistics.median_low(ordered), 3),
            "p99": round(ordered[rank], 3), "max": round(ordered[-1], 3)}


def machine():
    cpus = [line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")]
    system = dict(line.strip().split("=", 1) for line in open("/etc/os-release", encoding="utf-8") if "=" in line)
    return {"cpu": cpus[0] if cpus else "unknown", "cores": os.cpu_count(), "kernel": os.uname().release,
            "system": system.get("PRETTY_NAME", "").strip('"')}


def tell(supervisors, samples, skipped, load):
    peers = {s.name: {"version": s.version, "note": s.note,
                      "measures": {m: summary(v) for m, v in samples[s.name].values.items()},
                      "audit": {"starts": samples[s.name].started, "processes": len(samples[s.name].processes),
                                "gone": samples[s.name].gone}} for s in supervisors}
    ours = peers["reeve"]["measures"]
    ratios = {m: {n: round(p["measures"][m]["p50"] / ours[m]["p50"], 2) for n, p in peers.items()} for m in MEASURES}
    whole = all(p["audit"]["starts"] == p["audit"]["processes"] == p["audit"]["gone"] for p in peers.values())
    return {"bench": "peers", "machine": machine(), "load_before": load, "load_after": os.getloadavg(), "what": MEASURES,
            "peers": peers, "ratios_p50": ratios, "skipped": skipped, "audit_ok": whole}


def print_table(report):
    names = list(report["peers"])
    print(f"{'p50 (times reeve)':<12}" + "".join(f"{n:>24}" for n in names))
    for m in MEASURES:
        cells = [f"{report['peers'][n]['measures'][m]['p50']:.1f} ({report['ratios_p50'][m][n]:.2f}x)" for n in names]
        print(f"{m:<17}" + "".join(f"{c:>24}" for c in cells))
    for name, why in report["skipped"].items():
        print(f"without {name}: {why}")
    print(f"audit {'holds' if report['audit_ok'] else 'does NOT hold'}; load before {report['load_before'][0]:.2f}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="of starting, killing and stopping one (preset: 30)")
    parser.add_argument("--crowd-rounds", type=int, default=5, help="of starting and stopping 100 (preset: 5)")
    parser.add_argument("--only", action="append", metavar="NAME", help="besides reeve; may be given again")
    parser.add_argument("--json", metavar="FILE", help="write the whole report there")
    parser.add_argument("--dir", default=None, help="where the folder is made (preset: the system's for temporary files)")
    return parser.parse_args()


def open_all(options, directory, stack, skipped):
    supervisors = []
    for kind in SUPERVISORS:
        if options.only and kind is not Reeve and kind.name not in options.only:
            continue
        why = kind.missing()
        if why is None:
            supervisor = kind(directory)
            stack.callback(supervisor.close)
            try:
                supervisor.open()
                supervisors.append(supervisor)
                continue
            except (Failed, OSError, subprocess.SubprocessError) as error:
                if kind is Reeve:
                    raise
                why = str(error)
        if kind is Reeve:
            raise Failed(why)
        skipped[kind.name] = why
    return supervisors


def main():
    options = arguments()
    load, skipped = os.getloadavg(), {}
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reeve-peers-", dir=options.dir)))
        supervisors = open_all(options, directory, stack, skipped)
        samples = measure(supervisors, options.rounds, options.crowd_rounds)
        report = tell(supervisors, samples, skipped, load)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    print_table(report)
    return 0 if report["audit_ok"] else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        sys.exit(main())
    except (Failed, subprocess.SubprocessError, OSError) as failure:
        print(f"peers.py: {failure}", file=sys.stderr)
        sys.exit(1)

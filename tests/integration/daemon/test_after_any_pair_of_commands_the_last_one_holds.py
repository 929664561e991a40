"""Whatever two commands come back to back in whatever state, the worker ends as the last one asked."""
import itertools

import harness
import pytest

import nodes
from nodes import SLEEPER, STUBBORN

OPS = ("start", "stop", "kill", "restart", "reset", "remove", "apply")
PAIRS = list(itertools.product(OPS, OPS))


def test_ten_starts_at_once_make_one_process(make_node, admin):
    """Ten `start` back to back on a stopped worker: one process, one run, ten times `done`."""
    node = make_node(workers=[{"name": "a", "command": SLEEPER, "desired": "stopped"}])
    commands = [admin.command("a", "start", wait=False) for _ in range(10)]
    assert [command.terminal()["phase"] for command in commands] == ["done"] * 10
    record = admin.wait_state("a", "running")
    assert record["run"] == 1 and node.processes("a") == [record["pid"]]


def name_of(first, second):
    return f"{first}-{second}"


class Case:
    """49 workers in one state; `specs()` and how they get there."""

    def __init__(self, state, flag):
        self.state, self.flag = state, flag
        until_flag = f"until [ -e {flag} ]; do sleep 0.1; done; echo up; exec sleep 100000"
        unless_flag = f"[ -e {flag} ] && exec sleep 100000; exit 1"
        self.spec = {
            "running": {"command": SLEEPER},
            "stopped": {"command": SLEEPER},
            "starting": {"command": ["sh", "-c", until_flag], "ready": {"log": "^up$"}},
            "stopping": {**STUBBORN, "stop": {"grace": "1500ms"}},
            "restarting": {"command": ["sh", "-c", unless_flag], "restart": {"initial": "1h", "max": "1h"}},
            "failed": {"command": ["sh", "-c", unless_flag], "restart": {"initial": "1ms", "limit": 1}},
        }[state]

    def specs(self, version):
        return {name_of(*pair): {"name": name_of(*pair), "labels": {"version": version}, **self.spec} for pair in PAIRS}

    def bring_about(self, admin):
        specs = list(self.specs("0").values())
        command = admin.command("", "apply", {"workers": specs})
        if self.state == "stopped":
            command.terminal()
            admin.do("", "stop", {"all": True})
        elif self.state == "stopping":
            command.terminal()
            admin.command("", "stop", {"all": True}).phase("accepted")
        for spec in specs:
            admin.wait_state(spec["name"], self.state)
        if self.state in ("restarting", "failed"):
            self.flag.touch()


def expect(state, op):
    """What a worker is to be after `op`; what it was to be before is `state`: run, stop, failed, gone."""
    if op == "remove":
        return "gone"
    if state == "gone":
        return "run" if op == "apply" else "gone"
    if op in ("stop", "kill"):
        return "stop"
    if state == "failed":
        return {"reset": "run", "apply": "run"}.get(op, "failed")
    return "run" if op in ("start", "restart", "apply") else state


def allowed(state, op, reply):
    """Whether the terminal reply fits: `state` is what the worker was to be before this command."""
    phase = reply["phase"]
    if state == "failed" and op in ("start", "restart"):
        return phase == "rejected" and "reset" in reply["message"]
    if state == "gone" and op == "apply":
        return phase == "done" or (phase == "rejected" and "being removed" in reply["message"])
    if state == "gone":
        return phase == "rejected" and reply["code"] in ("not_found", "conflict")
    return phase in ("done", "superseded")


@pytest.mark.parametrize("state", ["running", "stopped", "starting", "stopping", "restarting", "failed"])
def test_the_last_of_two_commands_holds(make_node, admin, tmp_path, state):
    """Every ordered pair of seven ops, sent without waiting, to 49 workers in one state. Each command gets exactly one
    terminal reply; the worker ends as the second asked (failed refuses start and restart and names `reset`; after
    remove everything but apply is refused); who runs has one process, the others none."""
    case = Case(state, tmp_path / "flag")
    node = make_node(log_level="info")
    case.bring_about(admin)
    base = {"stopped": "stop", "stopping": "stop", "failed": "failed"}.get(state, "run")
    commands = {}
    for pair in PAIRS:
        name = name_of(*pair)
        commands[pair] = [
            admin.command("", "apply", case.specs(str(turn))[name], wait=False) if op == "apply"
            else admin.command(name, op, wait=False) for turn, op in enumerate(pair, 1)]
    if state == "starting":
        for sent in commands.values():  # all have been taken before the first can become ready
            admin.wait(lambda s=sent: all(command.replies for command in s))
        case.flag.touch()
    wrong = []
    for pair, sent in commands.items():
        before, target = base, base
        for op, command in zip(pair, sent):
            reply = command.terminal()
            if not allowed(target, op, reply):
                wrong.append(f"{pair}: {op} got {reply['phase']} {reply.get('message')!r} where it was {target}")
            before, target = target, expect(target, op)
            if op == "apply" and reply["phase"] == "rejected":
                target = before
        wrong += settles(node, admin, name_of(*pair), target)
    assert not wrong, "\n".join(wrong)


def settles(node, admin, name, target):
    states = {"run": "running", "stop": "stopped", "failed": "failed"}
    try:
        if target == "gone":
            admin.wait_gone(name, 5)
            record = None
        else:
            record = admin.wait_process(name, lambda p: p and p["state"] == states[target], 5)
    except harness.Late as late:
        return [f"{name} should be {target}: {late}"]
    if record is not None and (record["desired"] == "running") != (target in ("run", "failed")):
        return [f"{name} is {target}, desired {record['desired']}"]
    return []


def test_of_those_that_run_there_is_one_process_each(make_node, admin):
    """Storms of start, stop, restart and kill on ten workers at once, the last one being start or stop: at the end one
    process for each that is to run and none for the others."""
    node = make_node(log_level="info")
    names = [f"w{i}" for i in range(10)]
    admin.apply(*({"name": name, "command": SLEEPER} for name in names))
    commands = []
    for turn in range(8):
        for index, name in enumerate(names):
            commands.append(admin.command(name, ("start", "stop", "restart", "kill")[(turn + index) % 4], wait=False))
    last = {name: admin.command(name, "start" if index % 2 else "stop") for index, name in enumerate(names)}
    for command in (*commands, *last.values()):
        assert command.terminal()["phase"] in ("done", "superseded"), command.replies
    for index, name in enumerate(names):
        record = admin.wait_state(name, "running" if index % 2 else "stopped")
        assert node.processes(name) == ([record["pid"]] if index % 2 else [])

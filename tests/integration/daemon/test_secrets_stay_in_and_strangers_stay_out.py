"""S20 to S25: secrets, names, arguments, environment, and who may define programs."""
import os
import pathlib
import stat

import msgpack
import pytest

import nodes
from conftest import three_brokers
from nodes import SLEEPER

SECRET = "c0rrect-horse-battery"
DEEP_SECRET = "deep-c0nfig-secret"


@three_brokers
def test_secrets_are_in_no_message_and_no_log(make_node, admin, broker):
    """S25. Environment values, the worker's config and the passwords, through apply, describe, list, dry run, a refused
    apply, reload, a crash and metrics: in no message of the site, no line of the daemon's log, no argument list; in files
    that only their owner can read."""
    spec = {"name": "a", "command": ["sh", "-c", "exit 1"], "env": {"API_KEY": SECRET},
            "config": {"exchange": {"secret": DEEP_SECRET}}, "restart": {"initial": "5ms", "limit": 1}}
    node = make_node(metrics="200ms", workers=[{**spec, "name": "f"}])
    admin.apply(spec, phase=None)
    admin.wait_state("a", "failed")
    shown = admin.describe("a")
    assert set(shown["spec"]["env"]) == {"API_KEY"} or "env" not in shown["spec"], shown
    admin.apply({**spec, "labels": {"x": "y"}}, dry_run=True)
    admin.apply({**spec, "bogus": 1}, phase="rejected")
    admin.apply({**spec, "env": {"API KEY": SECRET}}, phase=None)
    admin.do("", "reload")
    admin.do("a", "reset", phase=None)
    admin.do("", "describe")
    admin.wait_state("a", "failed")
    admin.wait(lambda: admin.record(f"node/{node.name}/metrics"))
    secrets = [SECRET, DEEP_SECRET, *(word for name, word in broker.users.items())]
    for message in admin.client.messages:
        sent_by_us = "/cmd/" in message.topic
        for secret in secrets:
            assert sent_by_us or secret.encode() not in message.payload, (message.topic, secret)
    log = node.log()
    for secret in secrets:
        assert secret not in log, secret
    handed = [p for p in node.state.rglob("*") if p.is_file()]
    assert any(DEEP_SECRET.encode() in p.read_bytes() for p in handed if p.name == "config.json")
    for path in handed:
        if any(secret.encode() in path.read_bytes() for secret in secrets):
            open_to = path.stat().st_mode & 0o077
            closed_above = any(p.stat().st_mode & 0o077 == 0 for p in path.parents if p.is_relative_to(node.state))
            assert open_to == 0 or closed_above, f"{path} is readable by others: {oct(path.stat().st_mode)}"


def test_secrets_are_not_in_the_arguments_or_environment_of_ours(make_node, admin, broker):
    """S25. Neither reeved nor a shim has the worker's environment, the config or a password in /proc/<pid>/cmdline or
    environ; the plan that the shim reads is closed to others."""
    node = make_node(workers=[{"name": "a", "command": SLEEPER, "env": {"API_KEY": SECRET}}])
    record = admin.wait_state("a", "running")
    for pid in [node.pid, *node.shims()]:
        text = nodes.read_proc(pid, "cmdline") + nodes.read_proc(pid, "environ")
        assert SECRET.encode() not in text and broker.users[node.name].encode() not in text
    assert f"API_KEY={SECRET}".encode() in nodes.read_proc(record["pid"], "environ").split(b"\0")
    assert broker.users["worker"].encode() not in nodes.read_proc(record["pid"], "environ")
    assert stat.S_IMODE(node.state.stat().st_mode) & 0o077 == 0 or stat.S_IMODE((node.state / "runs").stat().st_mode) & 0o077 == 0


BAD_NAMES = ["", "A", "a/b", "../x", "a+b", "#", "a.b", "a b", "-a", "_a", "a*", "a>b", "ä", "a" * 64, "a\n", ".", "$sys"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_a_bad_name_is_refused_wherever_it_can_be_given(node, admin, tmp_path, name):
    """S20, S21. As a worker's name and as its type in apply, in a file, as a selector: refused, with the character named
    where there is one; nothing is made in the state folder."""
    import json
    import subprocess
    import harness
    before = sorted(p.name for p in node.state.rglob("*"))
    reply = admin.do("", "apply", {"name": name, "command": SLEEPER}, phase="rejected")
    assert "name" in reply["message"], reply
    admin.do("", "apply", {"name": "ok", "type": name, "command": SLEEPER}, phase="rejected")
    if "*" not in name:
        admin.do("", "stop", {"workers": name}, phase="rejected")
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"workers": [{"name": name, "command": SLEEPER}]}))
    result = subprocess.run([harness.BIN / "reeved", "--config", path, "--check"], capture_output=True, timeout=30, check=False)
    assert result.returncode == 2, result
    assert sorted(p.name for p in node.state.rglob("*")) == before
    assert not (node.state.parent / "x").exists()


@three_brokers
def test_a_command_for_a_name_that_is_none_is_not_taken(node, admin, kind):
    """S20. Topics with other characters or another depth reach nobody: no crash, no worker, no answer that names a path."""
    names = ["A", "a$b", "ä"] if kind.broker is nodes.Nats else ["A", "a.b", "..", "a b", "ä", "$x"]
    for name in names:
        admin.publish(name, "stop", b"")
        admin.publish(name, "apply", msgpack.packb({"command": SLEEPER}))
    admin.client.publish(admin.broker.topic(f"worker/{node.name}/a/b/cmd/stop"), b"")
    assert admin.do("", "list")["result"]["total"] == 0
    assert node.running


def test_arguments_stay_literal(node, admin, tmp_path):
    """S22. `; rm`, $(...), globs and quotes are arguments as they stand: no shell takes part."""
    victim = tmp_path / "victim"
    victim.touch()
    arguments = [f"; rm {victim}", f"$(rm {victim})", f"`rm {victim}`", "*", "a  b", "'\"", "|", "&& true", "%s%n", "ä\u2028"]
    program = "import sys, time\nfor a in sys.argv[1:]: print(ascii(a), flush=True)\nprint('up', flush=True)\ntime.sleep(1000)"
    admin.apply({"name": "a", "command": ["/usr/bin/python3", "-c", program, *arguments], "ready": {"log": "^up$"}})
    admin.wait_state("a", "running")
    assert victim.exists()
    lines = admin.logs("a")
    assert lines[:len(arguments)] == [ascii(a) for a in arguments], lines


def test_the_environment_of_a_worker_is_made_and_not_inherited(make_node, admin):
    """S24. Nothing of the daemon's environment but PATH, HOME and LANG; the contract's variables; the spec's on top."""
    node = make_node(env={"LD_BOGUS": "1", "SECRET_OF_DAEMON": SECRET, "LANG": "C.UTF-8"},
                     workers=[{"name": "a", "command": SLEEPER, "env": {"MINE": "1", "PATH": "/usr/bin:/bin"}, "config": {"x": 1}}])
    record = admin.wait_state("a", "running")
    environment = dict(item.split("=", 1) for item in nodes.read_proc(record["pid"], "environ").decode().split("\0") if item)
    assert "SECRET_OF_DAEMON" not in environment and "LD_BOGUS" not in environment
    assert environment["MINE"] == "1" and environment["PATH"] == "/usr/bin:/bin" and environment["LANG"] == "C.UTF-8"
    expected = {"REEVE_ROOT": node.broker.root, "REEVE_NODE": node.name, "REEVE_WORKER": "a", "REEVE_RUN": "1"}
    assert {k: environment.get(k) for k in expected} == expected, environment
    for key in ("REEVE_BROKER_FILE", "REEVE_CONFIG_FILE"):
        assert stat.S_IMODE(os.stat(environment[key]).st_mode) == 0o600
    unknown = {k for k in environment if not k.startswith("REEVE_")} - {"PATH", "HOME", "LANG", "MINE", "USER"}
    assert not unknown, unknown


def test_a_worker_has_no_descriptors_and_no_privileges_that_it_was_not_given(node, admin):
    """S24. Descriptors 0, 1, 2 and nothing else (3 with notify); stdin is /dev/null; no_new_privs; a session and group of
    its own; default signal dispositions and an empty mask; its parent is the shim and not the daemon."""
    # A program that has come to rest: one that starts may be reading files of its own.
    admin.apply({"name": "a", "command": ["sh", "-c", "echo up; sleep 1000; :"], "ready": {"log": "^up$"}})
    pid = admin.wait_state("a", "running")["pid"]
    fds = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert set(fds) == {"0", "1", "2"} and fds["0"] == "/dev/null", fds
    status = dict(line.split(":\t", 1) for line in nodes.read_proc(pid, "status").decode().splitlines() if ":\t" in line)
    assert status["NoNewPrivs"] == "1", status
    assert int(status["SigBlk"], 16) == 0 and int(status["SigIgn"], 16) == 0, status
    assert os.getpgid(pid) == pid and os.getsid(pid) != os.getsid(node.pid)
    assert int(status["PPid"]) in node.shims() and int(status["PPid"]) != node.pid


@pytest.mark.skipif(os.geteuid() != 0, reason="another user needs root")
def test_a_worker_runs_as_its_user_with_its_groups_and_files(node, admin):
    """S24. user: nobody: uid, gid and groups are nobody's, no capability is left, and it can read its own broker file."""
    import pwd
    nobody = pwd.getpwnam("nobody")
    admin.apply({"name": "u", "command": ["sh", "-c", 'head -c1 "$REEVE_BROKER_FILE" && echo readable; id -un; exec sleep 1000'],
                 "user": "nobody", "ready": {"log": "nobody"}, "cwd": "/"})
    pid = admin.wait_state("u", "running")["pid"]
    status = dict(line.split(":\t", 1) for line in nodes.read_proc(pid, "status").decode().splitlines() if ":\t" in line)
    assert status["Uid"].split() == [str(nobody.pw_uid)] * 4 and status["Gid"].split() == [str(nobody.pw_gid)] * 4, status
    assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0
    assert "0" not in status["Groups"].split()
    admin.do("u", "stop")


@pytest.mark.parametrize("policy, outcomes", [
    ("any", {"own": "done", "type": "done", "program": "done"}),
    ("types", {"own": "rejected", "type": "done", "program": "rejected"}),
    ("none", {"own": "rejected", "type": "rejected", "program": "rejected"})])
def test_what_may_be_defined_by_command_is_the_nodes_to_say(make_node, admin, policy, outcomes):
    """S23, node.remote_apply. any: everything; types: only types of the configuration, with no command of their own;
    none: nothing. start, stop and remove of what is there work in each."""
    node = make_node(remote_apply=policy, extra={"types": {"listed": SLEEPER}}, workers=[{"name": "mine", "command": SLEEPER}])
    specs = {"own": {"name": "own", "command": SLEEPER}, "type": {"name": "type", "type": "listed"},
             "program": {"name": "program", "type": "listed", "command": ["sleep", "77"]}}
    for key, outcome in outcomes.items():
        reply = admin.apply(specs[key], phase=outcome)
        assert outcome == "done" or (reply["code"] == "denied" and "remote_apply" in reply["message"]), reply
    admin.apply({"name": "mine", "command": ["sleep", "78"]}, phase=outcomes["own"])
    admin.do("mine", "restart")
    assert pathlib.Path(f"/proc/{admin.wait_state('mine', 'running')['pid']}/cmdline").read_bytes().startswith(b"sleep")
    assert node.running

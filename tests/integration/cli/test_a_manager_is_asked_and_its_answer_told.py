"""What `reeve` asks a manager, and what it makes of the answer. The manager is played by another's MQTT client: it answers what the
test says, also what a real one rarely does (several of them, some unreachable, an update that is undone)."""
import json
import os
import pty
import subprocess
import time

import harness
import msgpack
import pytest


def now():
    return int(time.time() * 1000)


class PlayedManager:
    """A retained status, and for every command the reply that the test has put into `answers` (by op)."""

    def __init__(self, broker, name="main"):
        self.broker, self.name, self.commands, self.answers = broker, name, [], {}
        self.client = broker.client("manager")
        self.client.paho.on_message = self._answer
        self.client.subscribe(broker.topic("manager/+/cmd/+"), broker.topic("pool/+/cmd/+"), broker.topic("account/+/cmd/+"))
        self.status()

    def retain(self, below, record):
        self.client.publish(self.broker.topic(below), msgpack.packb(record) if record is not None else b"", retain=True)

    def status(self, name=None, state="online", **more):
        self.retain(f"manager/{name or self.name}/status", {
            "epoch": 7, "state": state, "at": now(), "heartbeat_ms": 60000, "workers": 217, "nodes": 3, **more})

    def forget(self, name=None):
        self.retain(f"manager/{name or self.name}/status", None)
        self.retain(f"manager/{name or self.name}/lwt", None)

    def _answer(self, mqtt, _data, message):
        below = message.topic[len(self.broker.root) + 1:]
        command = msgpack.unpackb(message.payload)
        self.commands.append((below, command.get("args") or {}))
        if "reply_to" not in command:
            return
        answer = self.answers.get(below.rsplit("/", 1)[1], {})
        if callable(answer):
            answer = answer(below, command.get("args") or {})
        mqtt.publish(command["reply_to"], msgpack.packb({
            "id": command["id"], "seq": 1, "phase": "done", "by": self.name, "epoch": 7, "at": now(), **answer}), 1)

    def take(self):
        commands, self.commands = self.commands, []
        return commands


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = harness.Broker(tmp_path_factory.mktemp("asked") / "broker").start()
    yield broker
    broker.close()


@pytest.fixture
def manager(broker):
    manager = PlayedManager(broker)
    yield manager
    manager.forget()
    broker.close_clients()


@pytest.fixture
def reeve(broker, tmp_path):
    def run(*arguments, check=0, role="admin", env=None):
        password = tmp_path / role
        password.write_text(broker.users[role])
        password.chmod(0o600)
        done = subprocess.run([harness.BIN / "reeve", "--broker", f"mqtt://127.0.0.1:{broker.port}", "--user", role, "--password-file",
                               password, *map(str, arguments)], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", **(env or {})})
        assert done.returncode == check, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done
    return run


# ---- which manager ------------------------------------------------------------------------------------------------


def test_without_a_manager_it_says_what_to_do_and_leaves_with_3(broker, reeve):
    done = reeve("fleet", "ls", check=3)
    assert "no manager is running here" in done.stderr and "reeve up" in done.stderr
    failed = json.loads(reeve("pool", "scale", "swap", "3", "--json", check=3).stdout)["error"]
    assert failed["exit"] == 3 and failed["code"] == "offline"


def test_a_manager_that_left_or_died_is_named_with_its_age(manager, reeve):
    manager.status(state="offline")
    assert "manager main has left" in reeve("fleet", "stats", check=3).stderr
    manager.status()
    manager.retain("manager/main/lwt", {"epoch": 7})
    assert "manager main is dead" in reeve("fleet", "stats", check=3).stderr
    assert json.loads(reeve("manager", "ls", "--json").stdout)["managers"][0]["state"] == "dead"
    assert manager.take() == []


def test_of_several_managers_one_has_to_be_named(manager, reeve):
    manager.status("backup")
    try:
        done = reeve("fleet", "stats", check=2)
        assert "2 managers here (backup, main)" in done.stderr and "--manager" in done.stderr
        reeve("fleet", "stats", "--manager", "backup")
        assert manager.take() == [("manager/backup/cmd/stats", {})]
        assert "did you mean 'main'" in reeve("fleet", "stats", "--manager", "mian", check=3).stderr
        assert reeve("manager", "ls", "-q").stdout == "backup\nmain\n"
        manager.status("backup", state="offline")  # one that has left is no choice
        reeve("fleet", "stats")
        assert manager.take() == [("manager/main/cmd/stats", {})]
    finally:
        manager.forget("backup")


# ---- what is sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, topic, args", [
    (["fleet", "show", "alpha/mm-1"], "manager/main/cmd/show", {"worker": "alpha/mm-1"}),
    (["fleet", "why", "mm-1"], "manager/main/cmd/why", {"worker": "mm-1"}),
    (["fleet", "find", "--type", "swap", "-r", "cpus>=4", "--count", "3"], "manager/main/cmd/find",
     {"count": 3, "type": "swap", "require": ["cpus>=4"]}),
    (["fleet", "offline", "--region", "eu-*", "--reason", "keys"], "manager/main/cmd/offline", {"region": "eu-*", "reason": "keys"}),
    (["fleet", "stop", "--all", "--grace", "2s"], "manager/main/cmd/stop", {"all": True, "grace": "2s", "timeout": "1m"}),
    (["fleet", "restart", "gw-*", "--timeout", "5s"], "manager/main/cmd/restart", {"workers": ["gw-*"], "timeout": "5s"}),
    (["fleet", "shutdown", "mm-1", "--reason", "sold"], "manager/main/cmd/shutdown",
     {"worker": "mm-1", "reason": "sold", "timeout": "1m"}),
    (["fleet", "clear", "--all"], "manager/main/cmd/clear", {"all": True}),
    (["fleet", "forget", "alpha/mm-1"], "manager/main/cmd/forget", {"worker": "alpha/mm-1"}),
    (["pool", "scale", "swap", "+2"], "pool/swap/cmd/scale", {"size": "+2"}),
    (["pool", "scale", "swap", "-1"], "pool/swap/cmd/scale", {"size": "-1"}),
    (["pool", "rollback", "swap", "3"], "pool/swap/cmd/rollback", {"version": 3}),
    (["pool", "rollback", "swap"], "pool/swap/cmd/rollback", {}),
    (["pool", "delete", "swap", "--keep-workers"], "pool/swap/cmd/delete", {"workers": "keep"}),
    (["pool", "acquire", "swap", "--lease", "5m", "--wait-for", "2s", "--holder", "alpha/gw"], "pool/swap/cmd/acquire",
     {"holder": "alpha/gw", "lease": "5m", "wait": "2s"}),
    (["pool", "renew", "swap", "01J", "--lease", "1m"], "pool/swap/cmd/renew", {"lease_id": "01J", "lease": "1m"}),
    (["pool", "release", "swap", "01J"], "pool/swap/cmd/release", {"lease_id": "01J"}),
    (["account", "show", "desk-a"], "account/desk-a/cmd/status", {}),
    (["account", "validate", "--no-defaults"], "manager/main/cmd/accounts_validate", {"all": True, "apply_defaults": False}),
    (["account", "start", "desk-a", "desk-b", "--all-or-nothing"], "manager/main/cmd/accounts_start",
     {"accounts": ["desk-a", "desk-b"], "all_or_nothing": True, "timeout": "2m"}),
    (["account", "start-all", "--no-validate", "--canary", "3", "--timeout", "9s"], "manager/main/cmd/accounts_start",
     {"all": True, "validate": False, "canary": 3, "timeout": "9s"}),
    (["account", "stop-all"], "manager/main/cmd/accounts_stop", {"all": True, "timeout": "2m"}),
    (["account", "reload", "--apply"], "manager/main/cmd/accounts_reload", {"apply": True}),
    (["alarm", "ls", "lost", "--open"], "manager/main/cmd/alarms", {"kind": "lost", "open_only": True}),
    (["alarm", "ack", "lost/alpha_mm-1", "--by", "kim", "--note", "seen"], "manager/main/cmd/acknowledge",
     {"kind": "lost", "subject": "alpha_mm-1", "by": "kim", "note": "seen"}),
    (["alarm", "ack", "lost", "alpha/mm-1", "--by", "kim"], "manager/main/cmd/acknowledge",
     {"kind": "lost", "subject": "alpha/mm-1", "by": "kim"}),
    (["manager", "show", "main"], "manager/main/cmd/describe", {}),
    (["manager", "backup"], "manager/main/cmd/backup", {}),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_what_was_typed_becomes_the_commands_arguments(manager, reeve, arguments, topic, args):
    reeve(*arguments)
    assert manager.take() == [(topic, args)]
    # The same as a line for mosquitto_pub, which sends nothing.
    if "--print-mqtt" in reeve(*arguments[:2], "--help").stdout:
        assert f"-t {manager.broker.root}/{topic} " in reeve(*arguments, "--print-mqtt").stdout
        assert manager.take() == []


@pytest.mark.parametrize("arguments, says", [
    (["fleet", "stop"], "which workers?"),
    (["fleet", "stop", "--all", "--grace", "soon"], "--grace"),
    (["fleet", "ls", "--require", "cpus>>4"], "--require"),
    (["fleet", "ls", "--availability", "bored"], "--availability"),
    (["fleet", "ls", "--state", "dancing"], "--state"),
    (["fleet", "find", "--count", "none"], "--count"),
    (["fleet", "show", "mm-*"], "one worker"),
    (["fleet", "shutdown"], "which worker?"),
    (["fleet", "shutdown", "mm-1", "--all"], "or --all"),
    (["fleet", "restart", "x", "--timeout", "never"], "--timeout"),
    (["pool", "show", "Swap"], "POOL"),
    (["pool", "scale", "swap", "many"], "SIZE: 'many'"),
    (["pool", "rollback", "swap", "old"], "VERSION: 'old'"),
    (["pool", "acquire", "swap", "--lease", "5"], "--lease"),
    (["pool", "acquire", "swap", "--wait-for", "x"], "--wait-for"),
    (["pool", "apply"], "which file?"),
    (["pool", "watch", "Sw"], "POOL"),
    (["account", "start"], "which accounts?"),
    (["account", "start", "a", "--all"], "'a' and --all"),
    (["account", "start", "A.B"], "ACCOUNT"),
    (["account", "start", "a", "--canary", "0"], "--canary"),
    (["account", "start", "a", "--apply-defaults", "--no-defaults"], "which of them?"),
    (["account", "show", "A"], "ACCOUNT"),
    (["alarm", "ack", "lost"], "KIND/SUBJECT"),
    (["alarm", "ack", "Lost/x"], "KIND"),
    (["alarm", "ls", "L!"], "KIND"),
    (["manager", "show", "M"], "manager"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_2_with_the_argument_named_and_nothing_sent(manager, reeve, arguments, says):
    done = reeve(*arguments, check=2)
    assert says in done.stderr and done.stdout == "", done.stderr
    assert manager.take() == []


def test_an_unknown_name_is_the_managers_answer_with_near_names(manager, reeve):
    manager.answers["scale"] = {"phase": "rejected", "code": "not_found", "message": 'no pool "swpa", did you mean \'swap\'?'}
    assert "did you mean 'swap'" in reeve("pool", "scale", "swpa", "3", check=1).stderr
    assert json.loads(reeve("pool", "scale", "swpa", "3", "--json", check=1).stdout)["error"]["message"].endswith("'swap'?")


def test_a_role_without_the_right_is_told_so(manager, reeve):
    assert "does not let this user" in reeve("fleet", "stats", check=1, role="viewer").stderr
    assert "does not let this user" in reeve("pool", "delete", "swap", check=1, role="operator").stderr
    assert "does not let this user" in reeve("fleet", "forget", "mm-1", check=1, role="operator").stderr
    for allowed in (["fleet", "stop", "--all"], ["pool", "scale", "swap", "1"], ["account", "start-all"], ["alarm", "ls"],
                    ["pool", "acquire", "swap"], ["fleet", "offline", "mm-1"], ["manager", "check"]):
        manager.answers["check"] = {"result": {"ok": True, "report": ""}}
        reeve(*allowed, role="operator")
    assert len(manager.take()) == 7


# ---- what comes back ------------------------------------------------------------------------------------------------


STOPPED = {"stopped": 214, "already": 4, "refused": 1, "unreachable": 2, "failed_count": 0, "ms": 140, "failed": {"alpha/gw": "signs a swap"},
           "unreachable_nodes": [{"node": "beta", "since_ms": 12000, "workers": 2, "fenced": "stop by themselves within 15s"}]}


def test_an_emergency_stop_counts_and_names_and_leaves_with_1_when_not_all_are_stopped(manager, reeve):
    manager.answers["stop"] = {"phase": "failed", "code": "offline", "message": "214 of 217 stopped", "result": STOPPED}
    done = reeve("fleet", "stop", "--all", check=1)
    assert "214 of 217 stopped in 140ms, 1 refused, 2 unreachable" in done.stdout
    assert "alpha/gw: signs a swap" in done.stdout
    assert "beta: out of reach for 12s, 2 workers: stop by themselves within 15s" in done.stdout
    answer = json.loads(reeve("fleet", "stop", "--all", "--json", check=1).stdout)
    assert not answer["ok"] and answer["commands"][0]["result"]["unreachable_nodes"][0]["node"] == "beta"
    manager.answers["stop"] = {"result": {**STOPPED, "stopped": 217, "refused": 0, "unreachable": 0, "failed": {}, "unreachable_nodes": []}}
    assert "217 of 217 stopped in 140ms" in reeve("fleet", "stop", "--all").stdout
    # `done`, and yet not everybody: the count decides.
    manager.answers["stop"] = {"result": STOPPED}
    reeve("fleet", "stop", "--all", check=1)


def test_a_person_is_asked_before_everything_stops(broker, manager, tmp_path):
    """On a terminal; with the number of workers. Only y goes on, --yes is not asked, and neither is a script."""
    password = tmp_path / "password"
    password.write_text(broker.users["admin"])
    password.chmod(0o600)

    def typed(keys, *more):
        terminal, other = pty.openpty()
        process = subprocess.Popen([harness.BIN / "reeve", "fleet", "stop", "--all", *more, "--broker", f"mqtt://127.0.0.1:{broker.port}",
                                    "--user", "admin", "--password-file", password], stdin=other, stdout=other, stderr=other)
        os.close(other)
        os.write(terminal, keys)
        said = b""
        try:
            while chunk := os.read(terminal, 4096):
                said += chunk
        except OSError:  # the other side is closed
            pass
        os.close(terminal)
        return process.wait(), said.decode()

    manager.answers["stats"] = {"result": {"total": 217}}
    code, said = typed(b"n\n")
    assert code == 1 and "stop all 217 workers" in said and "nothing was done" in said
    assert [topic for topic, _ in manager.take()] == ["manager/main/cmd/stats"]
    code, said = typed(b"y\n")
    assert code == 0 and [topic for topic, _ in manager.take()] == ["manager/main/cmd/stats", "manager/main/cmd/stop"]
    code, said = typed(b"", "--yes")
    assert code == 0 and "[y/N]" not in said and len(manager.take()) == 1


def test_a_list_comes_in_pages_and_is_one(manager, reeve):
    everybody = [{"node": "alpha", "worker": f"mm-{i}", "state": "running", "type": "mm", "since": now()} for i in range(1203)]

    def page(_below, args):
        offset = args.get("offset", 0)
        return {"result": {"total": len(everybody), "offset": offset, "workers": everybody[offset:offset + args["limit"]]}}
    manager.answers["list"] = page
    assert len(json.loads(reeve("fleet", "ls", "--json").stdout)["workers"]) == 1203
    assert [args.get("offset", 0) for _, args in manager.take()] == [0, 500, 1000]
    names = reeve("fleet", "ls", "-q").stdout.split()
    assert names[0] == "alpha/mm-0" and len(set(names)) == 1203
    manager.answers["list"] = {"result": {"total": 5, "workers": []}}  # that shrank meanwhile
    reeve("fleet", "ls")


def test_reading_answers_are_themselves_in_json_and_tables_in_text(manager, reeve):
    manager.answers["stats"] = {"result": {"total": 9, "alive": 8, "idle": 5, "processing": 3, "offline": 1,
                                           "by_type": {"swap": {"total": 9, "alive": 8, "idle": 5, "processing": 3}}}}
    assert json.loads(reeve("fleet", "stats", "--json").stdout)["by_type"]["swap"]["idle"] == 5
    text = reeve("fleet", "stats").stdout
    assert text.startswith("9 workers: 8 alive, 1 offline, 5 idle, 3 processing\n") and "swap" in text
    manager.answers["health"] = {"result": {"healthy": 7, "warning": 1, "unhealthy": 0, "unknown": 0, "workers": [
        {"node": "alpha", "worker": "mm-1", "health": "warning", "checks": [
            {"name": "memory", "ok": False, "value": 97, "threshold": 90, "message": "97 % of its limit"}, {"name": "heartbeat", "ok": True}]}]}}
    text = reeve("fleet", "health").stdout
    assert "7 healthy, 1 warning" in text and "memory: 97 % of its limit" in text and "heartbeat" not in text
    manager.answers["why"] = {"result": {"worker": "mm-1", "why": ["its node is dead", "a person has paused it"]}}
    assert reeve("fleet", "why", "mm-1").stdout == "its node is dead\n- a person has paused it\n"
    manager.answers["show"] = {"result": {"verdict": {"node": "alpha", "worker": "mm-1", "state": "running", "why": "idle"},
                                          "health": {"health": "healthy", "checks": [{"name": "heartbeat", "ok": True, "message": "0.2 s"}]},
                                          "hold": {"kind": "offline", "by": "kim"}, "alarms": []}}
    text = reeve("fleet", "show", "mm-1").stdout
    assert text.startswith("alpha/mm-1 running healthy\n  idle\n") and "kim" in text and "ok    heartbeat: 0.2 s" in text
    manager.answers["alarms"] = {"result": {"total": 1, "alarms": [{
        "kind": "crash_loop", "subject": "alpha_mm-1", "severity": "error", "count": 3, "opened_at": now(), "message": "5 restarts"}]}}
    assert "crash_loop" in reeve("alarm", "ls").stdout
    assert reeve("alarm", "ls", "-q").stdout == "crash_loop/alpha_mm-1\n"


def test_text_of_others_does_not_obey_the_terminal(manager, reeve):
    evil = "\x1b[2J\x1b]0;owned\x07"
    manager.answers["why"] = {"result": {"worker": "mm-1", "why": [evil]}}
    manager.answers["list"] = {"result": {"total": 1, "workers": [{"node": evil, "worker": evil, "state": evil, "why": evil}]}}
    manager.answers["show"] = {"result": {"verdict": {"node": evil, "worker": evil, "state": evil, "why": evil, evil: evil}}}
    manager.answers["accounts"] = {"result": {"total": 1, "directory": evil, "accounts": [{"account": evil, "state": evil, "error": evil}]}}
    manager.answers["scale"] = {"phase": "rejected", "message": evil}
    for arguments, code in ((["fleet", "why", "mm-1"], 0), (["fleet", "ls"], 0), (["fleet", "show", "mm-1"], 0), (["account", "ls"], 0),
                            (["pool", "scale", "swap", "1"], 1)):
        done = reeve(*arguments, check=code)
        assert "\x1b" not in done.stdout + done.stderr and "\x07" not in done.stdout + done.stderr, arguments


def test_accounts_that_failed_are_named_with_their_mistakes(manager, reeve):
    manager.answers["accounts_start"] = {"phase": "failed", "code": "invalid", "message": "1 accounts started, 1 failed", "result": {
        "started": 1, "failed": 1, "skipped": 1, "ms": 210, "accounts": {
            "desk-a": {"state": "running", "outcome": "done"},
            "desk-b": {"state": "created", "outcome": "failed", "message": "not valid", "errors": [
                {"place": "/etc/a/desk-b.yaml:4:7", "path": "default_risk.max_positions", "text": "0 given, expected 1 or more"}]},
            "desk-c": {"state": "running", "outcome": "skipped", "message": "runs already"}}}}
    text = reeve("account", "start-all", check=1).stdout
    assert "desk-b: failed: not valid\n/etc/a/desk-b.yaml:4:7: default_risk.max_positions: 0 given" in text
    assert "1 of 3 started in 210ms, 1 failed, 1 skipped" in text and "desk-c" not in text and "desk-a" not in text
    manager.answers["accounts_validate"] = {"result": {"valid": 1, "invalid": 1, "warnings": 1, "accounts": [
        {"account": "desk-b", "file": "desk-b.yaml", "valid": False, "errors": [{"place": "desk-b.yaml:2:3", "path": "login", "text": "is missing"}],
         "warnings": [{"place": "desk-b.yaml:5:1", "path": "x", "text": "is high"}]}]}}
    text = reeve("account", "validate", check=1).stdout
    assert "desk-b.yaml:2:3: login: is missing\ndesk-b.yaml:5:1: x: is high (warning)\n1 valid, 1 invalid, 1 warning\n" == text


# ---- pools --------------------------------------------------------------------------------------------------------


POOL = {"pool": "swap", "version": 1, "size": 3, "min": 0, "max": 10, "ready": 3, "busy": 1, "starting": 0, "leaving": 0, "why": "3 of 3 ready"}


@pytest.fixture
def pool(manager):
    manager.retain("pool/swap/status", POOL)
    yield manager
    for leaf in ("status", "spec"):
        manager.retain(f"pool/swap/{leaf}", None)


def test_pools_are_listed_from_their_records_by_any_role(pool, reeve):
    text = reeve("pool", "ls", role="viewer").stdout
    assert "swap" in text and "3 of 3 ready" in text
    assert reeve("pool", "ls", "-q", role="viewer").stdout == "swap\n"
    assert json.loads(reeve("pool", "ls", "--json", role="viewer").stdout)["pools"][0]["ready"] == 3
    pool.status(state="offline")
    assert "nobody keeps this up" in reeve("pool", "ls").stderr
    assert pool.take() == []


def test_mistakes_of_pool_files_are_all_told_and_nothing_is_sent(manager, reeve, tmp_path):
    file = tmp_path / "pools.yaml"
    file.write_text("pool:\n  name: Swap\n  size: many\n  template: {comand: [sleep]}\n  placement: {require: ['cpus>>4']}\n")
    done = reeve("pool", "apply", "-f", file, check=2)
    places = [line for line in done.stderr.splitlines() if line.startswith(f"{file}:")]
    assert len(places) >= 4 and "nothing was applied" in done.stderr, done.stderr
    assert {2, 3, 4, 5} <= {int(line.split(":")[1]) for line in places}
    mistakes = json.loads(reeve("pool", "apply", "-f", file, "--json", check=2).stdout)["error"]["mistakes"]
    assert len(mistakes) == len(places) and manager.take() == []
    one = tmp_path / "one.yaml"
    one.write_text("pool: {name: swap, size: 1, template: {type: probe}}\n")
    assert "in another file already" in reeve("pool", "apply", "-f", one, "-f", one, check=2).stderr


def test_apply_sends_each_pool_and_tells_what_became_of_it(manager, reeve, tmp_path):
    file = tmp_path / "pools.yaml"
    file.write_text("pools:\n- {name: a, size: 1, template: {type: probe, env: {KEY: s3cret}}}\n- {name: b, size: 2, template: {type: probe}}\n")
    manager.answers["apply"] = lambda below, args: {"result": {
        "pool": args["name"], "version": 2, "created": args["name"] == "a", "changed": [] if args["name"] == "a" else ["template"],
        "update": "none" if args["name"] == "a" else "rolling"}}
    assert reeve("pool", "apply", "-f", file).stdout == "pool a: created, version 2\npool b: changed: template; version 2 is rolled out\n"
    sent = manager.take()
    assert [topic for topic, _ in sent] == ["pool/a/cmd/apply", "pool/b/cmd/apply"]
    assert sent[0][1]["template"]["env"] == {"KEY": "s3cret"}  # the manager has to know it
    manager.answers["apply"] = {"phase": "rejected", "code": "denied", "message": "no"}
    assert "apply pool a: rejected: no" in reeve("pool", "apply", "-f", file, check=1).stderr


def test_wait_waits_for_what_was_asked_and_not_for_what_was(pool, reeve):
    """The retained status still says 3 of 3: that is not the 5 that are waited for."""
    pool.answers["scale"] = {"result": {"pool": "swap", "from": 3, "size": 5}}
    pool.answers["describe"] = {"result": {"status": {**POOL, "size": 5}, "spec": {}, "members": []}}
    done = reeve("pool", "scale", "swap", "5", "--wait", "--timeout", "1s", check=3)
    assert "pool swap: 3 -> 5" in done.stdout and "not ready within the timeout" in done.stderr
    pool.retain("pool/swap/status", {**POOL, "size": 5, "ready": 5})
    assert "pool swap: 5 ready" in reeve("pool", "scale", "swap", "5", "--wait").stdout
    answer = json.loads(reeve("pool", "scale", "swap", "5", "--wait", "--json").stdout)
    assert answer["ok"] and answer["commands"][0]["result"]["size"] == 5


def test_wait_says_when_an_update_was_undone(pool, reeve):
    pool.answers["rollback"] = {"result": {"pool": "swap", "from": 1, "version": 2}}

    def describe(_below, _args):
        pool.retain("pool/swap/status", {**POOL, "version": 2, "update": {"phase": "rolling"}})
        pool.client.publish(pool.broker.topic("pool/swap/event"), b"", wait=False)
        return {"result": {"status": {**POOL, "version": 2}}}
    pool.answers["describe"] = {"result": {"status": {**POOL, "version": 2}}}
    pool.retain("pool/swap/status", {**POOL, "version": 2, "update": {"phase": "rolling"}})
    process = subprocess.Popen([harness.BIN / "reeve", "pool", "rollback", "swap", "2", "--wait", "--broker",
                                f"mqtt://127.0.0.1:{pool.broker.port}", "--user", "admin", "--password-file", password_of(pool.broker)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "pool swap: version 1 -> 2\n"
    harness.wait_until(lambda: len(pool.commands) == 2, what="describe")
    # It sees the rollout, then another version: until it leaves, so that neither comes too early.
    while process.poll() is None:
        pool.retain("pool/swap/status", {**POOL, "version": 2, "update": {"phase": "rolling"}})
        pool.retain("pool/swap/status", {**POOL, "version": 1})
    assert process.returncode == 1 and "version 2 gave way to version 1" in process.stderr.read()
    process.stdout.close()
    process.stderr.close()


def password_of(broker):
    path = broker.directory / "password-for-reeve"
    path.write_text(broker.users["admin"])
    path.chmod(0o600)
    return path


def test_watch_shows_what_is_and_what_comes(pool, reeve):
    pool.retain("fleet/alpha/mm-1", {"node": "alpha", "worker": "mm-1", "state": "running", "type": "swap", "at": now(), "why": "idle"})
    pool.retain("fleet/alpha/mm-2", {"node": "alpha", "worker": "mm-2", "state": "lost", "type": "grid", "at": now(), "why": "silent"})
    try:
        text = reeve("fleet", "watch", "--count", "2", role="viewer").stdout
        assert "alpha/mm-1 running  idle" in text and "alpha/mm-2 lost  silent" in text
        lines = [json.loads(line) for line in reeve("fleet", "watch", "--type", "grid", "--timeout", "500ms", "--json").stdout.splitlines()]
        assert [line["record"]["worker"] for line in lines] == ["mm-2"]
        assert "3 of 3 ready" in reeve("pool", "watch", "--count", "1", role="viewer").stdout
        assert "swap" in reeve("pool", "watch", "s*", "--count", "1").stdout
        assert reeve("pool", "watch", "other", "--timeout", "300ms").stdout == ""
    finally:
        for name in ("mm-1", "mm-2"):
            pool.retain(f"fleet/alpha/{name}", None)

"""Several nodes at one broker. They are played by another's MQTT client: what counts is what `reeve` sends to whom."""
import json
import pathlib
import secrets
import shutil
import subprocess
import sys
import time

import harness
import msgpack
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "daemon"))
import nodes  # noqa: E402


class PlayedNode:
    """Retained records of a node and its workers, and `done` as the answer to every command."""

    def __init__(self, broker, name, workers):
        self.broker, self.name = broker, name
        self.client = broker.client(name)
        self.client.subscribe(broker.topic(f"node/{name}/cmd/+"), broker.topic(f"worker/{name}/+/cmd/+"))
        self.records = {f"node/{name}/status": {"epoch": 7, "state": "online", "at": now(), "heartbeat_ms": 60000}}
        for worker, record in workers.items():
            self.records[f"worker/{name}/{worker}/process"] = {
                "epoch": 7, "run": 1, "state": "running", "since": now(), "at": now(), "desired": "running", "pid": 1, **record}
        for below, record in self.records.items():
            self.client.publish(broker.topic(below), msgpack.packb(record), retain=True)
        self.client.paho.on_message = self._answer
        self.commands = []

    def _answer(self, mqtt, _data, message):
        command = msgpack.unpackb(message.payload)
        below = message.topic[len(self.broker.root) + 1:]
        self.commands.append((below, command))
        reply = {"id": command["id"], "seq": 1, "phase": "done", "by": self.name, "epoch": 7, "at": now()}
        mqtt.publish(command["reply_to"], msgpack.packb(reply), 1)

    def take(self):
        commands, self.commands = self.commands, []
        return [(below, command.get("args") or {}) for below, command in commands]

    def leave(self, state="offline"):
        below = f"node/{self.name}/status"
        self.client.publish(self.broker.topic(below), msgpack.packb({**self.records[below], "state": state}), retain=True)


def now():
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """(reeve, alpha, beta): mm-1 is on both, swap-a and swap-b on one each."""
    directory = tmp_path_factory.mktemp("fleet")
    rights = "\nuser beta\ntopic readwrite reeve/v1/local/node/beta/#\ntopic readwrite reeve/v1/local/worker/beta/#\n" \
             "topic write reeve/v1/local/reply/+/+\n"
    broker = harness.Broker(directory / "broker", users=("beta",), acl=rights).start()
    password = directory / "password"
    password.write_text(broker.users["admin"])
    password.chmod(0o600)
    alpha = PlayedNode(broker, "alpha", {"mm-1": {}, "swap-a": {"type": "swap", "labels": {"desk": "a"}}})
    beta = PlayedNode(broker, "beta", {"mm-1": {}, "swap-b": {"type": "swap", "exchange": "komodo"}})

    def reeve(*arguments, check=0):
        done = subprocess.run([harness.BIN / "reeve", *arguments, "--broker", f"mqtt://127.0.0.1:{broker.port}", "--user", "admin",
                               "--password-file", password], capture_output=True, text=True, timeout=60)
        assert done.returncode == check, done.stdout + done.stderr
        return done

    yield reeve, alpha, beta
    broker.close()


def test_a_name_on_two_nodes_is_ambiguous(fleet):
    reeve, alpha, beta = fleet
    done = reeve("stop", "mm-1", check=1)
    assert "more than one node" in done.stderr and "alpha, beta" in done.stderr
    assert alpha.take() == beta.take() == []
    reeve("stop", "beta/mm-1")
    assert beta.take() == [("worker/beta/mm-1/cmd/stop", {})] and alpha.take() == []
    reeve("stop", "mm-1", "--node", "alpha")
    assert alpha.take() == [("worker/alpha/mm-1/cmd/stop", {})] and beta.take() == []
    assert "more than one node" in reeve("stop", "mm-1", "swap-a", check=1).stderr


def test_a_bare_name_is_found_where_it_is(fleet):
    reeve, alpha, beta = fleet
    reeve("restart", "swap-b")
    assert beta.take() == [("worker/beta/swap-b/cmd/restart", {})] and alpha.take() == []
    done = reeve("restart", "swap-c", check=1)
    assert "no worker 'swap-c'" in done.stderr and "did you mean 'swap-" in done.stderr


def test_a_selector_goes_to_each_node_that_has_some(fleet):
    reeve, alpha, beta = fleet
    answer = json.loads(reeve("stop", "--type", "swap", "--json").stdout)
    assert [command["node"] for command in answer["commands"]] == ["alpha", "beta"] and answer["ok"]
    assert alpha.take() == [("node/alpha/cmd/stop", {"type": "swap"})]
    assert beta.take() == [("node/beta/cmd/stop", {"type": "swap"})]
    reeve("stop", "*", "-l", "desk=a")
    assert alpha.take() == [("node/alpha/cmd/stop", {"workers": ["*"], "labels": {"desk": "a"}})] and beta.take() == []
    reeve("stop", "swap-a", "swap-b", "--grace", "3s")
    assert alpha.take() == [("node/alpha/cmd/stop", {"workers": ["swap-a"], "grace": "3s"})]
    assert beta.take() == [("node/beta/cmd/stop", {"workers": ["swap-b"], "grace": "3s"})]
    reeve("kill", "beta/*")
    assert beta.take() == [("node/beta/cmd/kill", {"workers": ["*"]})] and alpha.take() == []


def test_commands_about_nodes_want_a_node(fleet):
    reeve, alpha, beta = fleet
    assert "which node?" in reeve("drain", check=2).stderr
    reeve("drain", "alpha", "beta")
    assert alpha.take() == [("node/alpha/cmd/drain", {})] and beta.take() == [("node/beta/cmd/drain", {})]
    assert "did you mean 'beta'" in reeve("drain", "betta", check=3).stderr
    assert reeve("ls", "-q").stdout == "alpha/mm-1\nswap-a\nbeta/mm-1\nswap-b\n"


def test_a_node_that_left_or_died_is_told_at_once(fleet):
    """[cmd-9] Nothing is sent, and nobody waits for the timeout."""
    reeve, alpha, beta = fleet
    beta.leave()
    start = time.monotonic()
    assert "beta is offline" in reeve("stop", "swap-b", "--timeout", "30s", check=3).stderr
    assert time.monotonic() - start < 10
    # The other one is not kept from it, but the whole was not done.
    done = json.loads(reeve("stop", "--type", "swap", "--json", check=3).stdout)
    assert [(c["node"], c["ok"]) for c in done["commands"]] == [("alpha", True), ("beta", False)]
    assert len(alpha.take()) == 1
    beta.leave("online")
    beta.client.publish(beta.broker.topic("node/beta/lwt"), msgpack.packb({"epoch": 7}), retain=True)
    assert "beta is dead" in reeve("stop", "swap-b", "--timeout", "30s", check=3).stderr
    assert beta.take() == []
    # Where one of two lives, a bare name means that one.
    reeve("stop", "mm-1")
    assert alpha.take() == [("worker/alpha/mm-1/cmd/stop", {})]
    states = {w["name"]: w["state"] for w in json.loads(reeve("ls", "--json", "--node", "beta").stdout)["workers"]}
    assert states == {"mm-1": "unknown", "swap-b": "unknown"}
    beta.client.publish(beta.broker.topic("node/beta/lwt"), b"", retain=True)


def test_foreign_text_never_obeys_the_terminal(fleet):
    reeve, alpha, _ = fleet
    evil = "\x1b]0;owned\x07\nfake row \u202e"
    below = "worker/alpha/evil/process"
    alpha.client.publish(alpha.broker.topic(below), msgpack.packb({
        "epoch": 7, "run": 1, "state": "stopped", "since": 1, "at": 1, "desired": "stopped", "type": evil, "why": evil,
        secrets.token_hex(2) + evil: evil}), retain=True)
    try:
        for arguments in (["ls"], ["ls", "--wide"], ["ls", "--json"], ["top", "--once"], ["show", "evil"]):
            done = reeve(*arguments)
            assert not set(done.stdout) & {"\x1b", "\x07", *([] if "--json" in arguments else ["\u202e"])}, arguments
            assert "\nfake row" not in done.stdout
    finally:
        alpha.client.publish(alpha.broker.topic(below), b"", retain=True)


def test_it_works_against_another_broker(tmp_path):
    """nats-server speaks MQTT 3.1.1 and sends retained records when it finds the time [topic-7]."""
    if shutil.which("nats-server") is None:
        pytest.skip("no nats-server")
    name = f"n{secrets.token_hex(4)}"
    broker = nodes.KINDS["nats"].make(tmp_path / "nats", name).start()
    node = nodes.Node(broker, tmp_path / "node", version=4, name=name, workers=[
        {"name": "mm-1", "command": ["sleep", "1000"]}, {"name": "mm-2", "command": ["sleep", "1000"]}])
    password = tmp_path / "password"
    password.write_text(broker.users["admin"])
    password.chmod(0o600)

    def reeve(*arguments):
        return subprocess.run([harness.BIN / "reeve", *arguments, "--broker", f"mqtt://127.0.0.1:{broker.port}", "--mqtt", "3.1.1",
                               "--user", "admin", "--password-file", password], capture_output=True, text=True, check=True,
                              timeout=60).stdout
    try:
        node.start()
        harness.wait_until(lambda: reeve("ls", "-q") == "mm-1\nmm-2\n", what="both workers")
        assert "stopped" in reeve("stop", "mm-1")
        assert "running" in reeve("start", f"{name}/mm-1")
        assert json.loads(reeve("stop", "mm-*", "--json"))["ok"]
        assert json.loads(reeve("show", "mm-2", "--json"))["verdict"]["state"] == "stopped"
    finally:
        node.close()
        broker.close()

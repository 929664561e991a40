"""What a person does in the first five minutes, command by command."""
import json
import os
import pty
import shutil
import signal
import subprocess

import harness
import msgpack
import pytest

SLEEPER = ["sh", "-c", "echo hello; echo oops >&2; exec sleep 1000"]


@pytest.fixture(scope="module")
def workers(site):
    site.apply({"name": "swap-1", "type": "swap", "command": SLEEPER, "labels": {"desk": "a"}},
               {"name": "swap-2", "type": "swap", "command": SLEEPER, "labels": {"desk": "b"}},
               {"name": "probe-1", "type": "probe"})


def outcome(site, *arguments, check=0):
    """The only command's part of the answer."""
    answer = site.json(*arguments, check=check)
    assert answer["ok"] == (check == 0)
    assert len(answer["commands"]) == 1
    return answer["commands"][0]


def test_apply_says_what_became_of_each_worker(site):
    spec = {"name": "applied", "command": SLEEPER}
    assert site.apply(spec)["commands"][0]["result"]["change"] == "added"
    assert site.apply(spec)["commands"][0]["result"]["change"] == "unchanged"
    assert site.apply({**spec, "labels": {"a": "b"}})["commands"][0]["result"]["change"] == "changed"
    assert site.apply({**spec, "env": {"A": "b"}})["commands"][0]["result"]["change"] == "restarted"
    assert outcome(site, "rm", "applied")["phase"] == "done"
    assert site.worker("applied") is None


def test_ls_shows_the_verdicts(site, workers):
    probe = site.worker("probe-1")
    site.wait_state("probe-1", "running")
    harness.wait_until(lambda: site.worker("probe-1").get("availability") == "idle", what="probe-1 speaks")
    assert probe["node"] == site.node and probe["type"] == "probe" and probe["pid"] > 0 and probe["run"] == 1
    text = site.reeve("ls").stdout
    assert text.splitlines()[0].split() == ["NODE", "NAME", "TYPE", "STATE", "AVAIL", "PID", "RUN", "RESTARTS", "SINCE",
                                            "WHY"]
    assert "\033" not in text
    assert site.reeve("ls", "-q", "swap-*").stdout == "swap-1\nswap-2\n"
    assert site.reeve("ls", "-q", "--label", "desk=b").stdout == "swap-2\n"
    assert site.reeve("ls", "-q", "--type", "swap", "--state", "running").stdout == "swap-1\nswap-2\n"
    assert site.reeve("ls", "-q", "--node", site.node, "probe-1").stdout == "probe-1\n"
    assert "EXCHANGE" in site.reeve("ls", "--wide").stdout
    assert "no worker 'nobody'" in site.run("ls", "nobody", check=1).stderr


def test_ls_looks_with_a_viewers_eyes_as_well(site, workers):
    assert [w["name"] for w in site.json("ls", "--user", "viewer")["workers"]] == ["broker", "manager", "probe-1", "swap-1", "swap-2"]


def test_show_tells_everything_about_one(site, workers):
    shown = site.json("show", "probe-1")
    assert shown["process"]["state"] == "running"
    assert shown["status"]["epoch"] == shown["verdict"]["epoch"]
    assert shown["describe"]["spec"]["type"] == "probe"
    assert shown["lwt"] is None
    assert site.json("show", "swap-1", "--tail", "1")["log"][-1]["text"] in ("hello", "oops")
    text = site.reeve("show", f"{site.node}/swap-1").stdout
    for part in ("process, says the node", "status, says the worker", "last will", "spec", "last log lines", "hello"):
        assert part in text


def test_unknown_fields_of_a_record_are_shown(site):
    """A record from a newer version has keys that this build does not know."""
    # A worker started by hand: its status is its own.
    status = {"epoch": 1, "availability": "idle", "state": "online", "at": 1, "heartbeat_ms": 60000,
                                  "novelty": {"depth": 7}}
    password = (site.directory / "credentials/worker").read_text()
    by_hand = harness.connect(site.port, "worker", password)
    by_hand.publish(site.topic(f"worker/{site.node}/by-hand/status"), msgpack.packb(status), retain=True)
    try:
        shown = site.run("show", "by-hand", check=0)
        assert "novelty" in shown.stdout and "depth: 7" in shown.stdout
        assert "running idle" in shown.stdout  # [fold-7]
    finally:
        by_hand.publish(site.topic(f"worker/{site.node}/by-hand/status"), b"", retain=True)
        by_hand.close()


def test_logs_gives_the_last_lines(site, workers):
    text = site.reeve("logs", "swap-1").stdout.splitlines()
    assert "hello" in text and "oops" in text
    lines = [json.loads(line) for line in site.reeve("logs", "swap-1", "--json").stdout.splitlines()]
    assert {"node": site.node, "worker": "swap-1", "stream": "err", "text": "oops"}.items() <= \
        {k: v for k, v in next(line for line in lines if line["text"] == "oops").items() if k != "at"}.items()
    assert len(site.reeve("logs", "swap-1", "--tail", "1").stdout.splitlines()) == 1
    several = site.reeve("logs", "swap-1", "swap-2").stdout
    assert "swap-1 | hello" in several and "swap-2 ! oops" in several


def test_logs_follows_until_ctrl_c(site):
    """New lines come; Ctrl-C is the way to end it, so it ends with 0."""
    site.apply({"name": "talker", "command": ["sh", "-c", "trap 'echo more' USR1; echo first; while :; do sleep 0.05; done"]})
    follow = subprocess.Popen([harness.BIN / "reeve", "logs", "-f", "talker"], stdout=subprocess.PIPE, text=True,
                              env={**site.env, "REEVE_SITE": str(site.directory)})
    try:
        while follow.stdout.readline() != "first\n":
            assert follow.poll() is None
        # The node follows from the moment it answers, and that answer was just read.
        site.reeve("signal", "USR1", "talker")
        assert follow.stdout.readline() == "more\n"
        follow.send_signal(signal.SIGINT)
        assert follow.wait(harness.DEADLINE) == 0
    finally:
        follow.kill()
        follow.wait()
        follow.stdout.close()
        site.reeve("rm", "talker")


def test_stop_start_restart_kill_signal_and_reset(site):
    site.apply({"name": "round", "command": SLEEPER})
    stopped = outcome(site, "stop", "round")["result"]
    assert stopped["state"] == "stopped" and stopped["exit"]["signal"] == "SIGTERM"
    assert outcome(site, "start", "round")["result"]["run"] == 2
    assert outcome(site, "restart", "round")["result"]["run"] == 3
    assert outcome(site, "signal", "CONT", "round")["phase"] == "done"
    assert outcome(site, "signal", "round", "USR2")["phase"] == "done"
    harness.wait_until(lambda: site.worker("round")["run"] > 3, what="restart after USR2")
    assert outcome(site, "kill", "round")["result"]["exit"]["signal"] == "SIGKILL"
    assert site.worker("round")["state"] == "stopped"
    assert outcome(site, "reset", "round")["phase"] == "done"
    assert "round: stopped" in site.reeve("stop", "round").stdout
    site.reeve("rm", "round")


def test_one_selector_means_several(site):
    site.apply(*({"name": f"many-{i}", "type": "many", "command": SLEEPER, "labels": {"half": str(i % 2)}} for i in range(6)))
    result = outcome(site, "stop", "--type", "many", "-l", "half=1")["result"]
    assert result["done"] == 3 and sorted(result["workers"]) == ["many-1", "many-3", "many-5"]
    assert sorted(outcome(site, "start", "many-*", "--state", "stopped")["result"]["workers"]) == ["many-1", "many-3", "many-5"]
    assert sorted(outcome(site, "stop", "many-0", f"{site.node}/many-2")["result"]["workers"]) == ["many-0", "many-2"]
    assert len(outcome(site, "rm", "many-?")["result"]["workers"]) == 6
    # --all never means the broker that carries the command.
    site.reeve("ls")
    assert site.worker("broker")["state"] == "running"


def test_call_reaches_what_a_worker_declares(site, workers):
    assert outcome(site, "call", "probe-1", "echo", "text=hi there")["result"] == {"text": "hi there"}
    assert outcome(site, "call", "probe-1", "echo", '{"text": "5"}')["result"] == {"text": "5"}
    assert outcome(site, "call", "probe-1", "nothing", check=1)["phase"] == "rejected"
    # One that has just been started speaks a moment later: it is waited for.
    site.reeve("restart", "probe-1")
    assert outcome(site, "call", "probe-1", "echo", "text=again")["result"] == {"text": "again"}
    site.reeve("stop", "probe-1")
    assert "stopped" in outcome(site, "call", "probe-1", "echo", "text=x", check=1)["message"]
    site.reeve("start", "probe-1")


def test_watch_turns_messages_into_json_lines(site, workers):
    lines = site.reeve("watch", "worker/+/swap-1/process", "--count", "1").stdout.splitlines()
    line = json.loads(lines[0])
    assert line["topic"] == site.topic(f"worker/{site.node}/swap-1/process")
    assert line["retained"] is True and line["payload"]["state"] and line["at"] > 0
    whole = json.loads(site.reeve("watch", site.topic("node/+/status"), "--count", "1").stdout)
    assert whole["payload"]["state"] == "online"
    # With a time it ends by itself, and that is no failure; fewer messages than asked for is one.
    assert site.run("watch", "worker/none/#", "--timeout", "200ms").returncode == 0
    assert site.run("watch", "worker/none/#", "--timeout", "200ms", "--count", "1").returncode == 3


def test_watch_shows_what_is_no_msgpack(site):
    watch = subprocess.Popen([harness.BIN / "reeve", "watch", "reply/admin/#", "--count", "12"], stdout=subprocess.PIPE,
                             text=True, env={**site.env, "REEVE_SITE": str(site.directory)})
    client = site.client("admin")
    shown = {}
    try:
        def told():
            """Publish until the watcher is there; each payload under a topic of its own."""
            for name, payload in payloads.items():
                client.publish(site.topic(f"reply/admin/{name}"), payload)
            return watch.poll() is not None
        payloads = {"text": b"5", "json": b'{"a":1}', "bytes": b"\xff\xfe", "empty": b"", "escape": b"\x1b[31mred"}
        harness.wait_until(told, what="five messages", interval=0.1)
        for line in watch.stdout.read().splitlines():
            assert "\x1b" not in line
            value = json.loads(line)
            name = value["topic"].rsplit("/", 1)[1]
            if name in payloads:  # not the sessions' own probes
                shown[name] = value["payload"]
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()
        client.close()
    expected = {"text": "5", "json": {"a": 1}, "bytes": {"$bin": "//4="}, "empty": None, "escape": "\x1b[31mred"}
    assert shown == {name: expected[name] for name in shown} and len(shown) >= 2


def test_top_is_a_table_where_there_is_no_terminal(site, workers):
    text = site.reeve("top").stdout
    assert "swap-1" in text and "CPU%" in text and "\033" not in text
    assert any(w["name"] == "swap-1" for w in site.json("top", "--once")["workers"])


def test_top_redraws_on_a_terminal_and_leaves_it_usable(site, workers):
    main, other = pty.openpty()
    top = subprocess.Popen([harness.BIN / "reeve", "top", "--interval", "100ms"], stdin=other, stdout=other, stderr=other,
                           env={**{k: v for k, v in site.env.items() if k != "NO_COLOR"}, "TERM": "xterm",
                                "REEVE_SITE": str(site.directory)})
    os.close(other)
    seen = b""
    try:
        while seen.count(b"\033[H") < 3:  # three times drawn
            seen += os.read(main, 65536)
        assert b"swap-1" in seen and b"\033[32mrunning\033[0m" in seen and b"\033[?25l" in seen
        top.send_signal(signal.SIGINT)
        while not seen.endswith(b"\033[?25h"):
            seen += os.read(main, 65536)
        assert top.wait(harness.DEADLINE) == 0
    finally:
        top.kill()
        top.wait()
        os.close(main)


def test_node_commands(site):
    nodes = site.json("node", "ls")["nodes"]
    assert [node["name"] for node in nodes] == [site.node] and nodes[0]["state"] == "online"
    shown = site.json("node", "show")
    assert shown["describe"]["node"] == site.node and shown["status"]["version"]
    assert site.reeve("node", "ls", "-q").stdout == f"{site.node}\n"
    assert outcome(site, "drain")["result"]["state"] == "draining"
    assert site.json("node", "ls")["nodes"][0]["state"] == "draining"
    assert outcome(site, "start", "broker", check=1)["phase"] == "rejected"
    assert outcome(site, "node", "undrain", site.node)["phase"] == "done"
    assert outcome(site, "node", "reload")["result"]["unchanged"] == ["broker", "manager"]


def test_doctor_finds_a_healthy_site_healthy(site):
    report = site.json("doctor")
    assert report["ok"] and {f["level"] for f in report["findings"]} <= {"ok", "warn"}
    assert {"broker", "credentials", "node", "manager", "commands", "clock", "files", "disk", "mosquitto"} <= \
        {f["check"] for f in report["findings"]}
    text = site.reeve("doctor").stdout
    assert "ok    broker" in text


def test_doctor_sees_a_file_that_others_can_read(site):
    os.chmod(site.directory / "node.yaml", 0o644)
    try:
        report = site.json("doctor", check=1)
        assert any(f["level"] == "fail" and "node.yaml" in f["text"] for f in report["findings"])
    finally:
        os.chmod(site.directory / "node.yaml", 0o600)


def test_encode_and_decode_are_each_others_inverse(site):
    value = {"grace": "5s", "list": [1, -2, 2.5, True, None], "map": {"ä": "ö"}}
    packed = subprocess.run([harness.BIN / "reeve", "encode"], input=json.dumps(value).encode(), capture_output=True,
                            check=True).stdout
    assert msgpack.unpackb(packed) == value
    back = subprocess.run([harness.BIN / "reeve", "decode"], input=packed, capture_output=True, check=True).stdout
    assert json.loads(back) == value
    by_yaml = subprocess.run([harness.BIN / "reeve", "encode", "--yaml"], input=b"grace: 5s\nlist: [1]\n",
                             capture_output=True, check=True).stdout
    assert msgpack.unpackb(by_yaml) == {"grace": "5s", "list": [1]}
    lines = f"some/topic {packed.hex()}\n{packed.hex().upper()}\n"
    shown = site.reeve("decode", "--hex", input=lines).stdout.splitlines()
    assert json.loads(shown[0]) == {"topic": "some/topic", "payload": value} and json.loads(shown[1]) == value
    assert site.run("encode", input='{"a":', check=2).stderr.startswith("reeve: stdin")
    assert "line 1" in site.run("decode", "--hex", input="topic xyz\n", check=2).stderr


def test_mosquitto_pub_takes_what_encode_makes(site, workers):
    line = site.reeve("restart", "swap-2", "--print-mqtt").stdout.strip()
    before = site.worker("swap-2")["run"]
    command = line.rsplit(" -n", 1)[0] + " -s"
    packed = subprocess.run([harness.BIN / "reeve", "encode"], input=b"{}", capture_output=True, check=True).stdout
    subprocess.run(["sh", "-c", command], input=packed, check=True)
    harness.wait_until(lambda: site.worker("swap-2")["run"] == before + 1, what="a new run")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_good_shell(site, shell, tmp_path):
    script = tmp_path / f"reeve.{shell}"
    script.write_text(site.reeve("completion", shell).stdout)
    assert "undrain" in script.read_text() and "--print-mqtt" in script.read_text() or shell == "fish"
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    flags = {"bash": ["-n"], "zsh": ["-n"], "fish": ["--no-execute"]}[shell]
    subprocess.run([program, *flags, str(script)], check=True)


def complete(site, words, script):
    """What bash offers for the last of the words."""
    line = f'source {script}; COMP_WORDS=({" ".join(words)!s} ""); COMP_CWORD={len(words)}; _reeve; printf "%s\\n" "${{COMPREPLY[@]}}"'
    path = f"{harness.BIN}:{os.environ['PATH']}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True,
                          env={**site.env, "PATH": path, "REEVE_SITE": str(site.directory)}).stdout.split()


def test_completion_in_bash_knows_commands_and_workers(site, workers, tmp_path):
    script = tmp_path / "reeve.bash"
    script.write_text(site.reeve("completion", "bash").stdout)
    assert {"up", "ls", "stop", "node"} <= set(complete(site, ["reeve"], script))
    assert {"ls", "show", "drain", "reload"} <= set(complete(site, ["reeve", "node"], script))
    assert {"swap-1", "probe-1"} <= set(complete(site, ["reeve", "stop"], script))
    assert site.node in complete(site, ["reeve", "ls", "--node"], script)

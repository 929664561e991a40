"""0 done, 1 refused or failed, 2 usage or configuration, 3 broker or node not reachable, or no answer in time."""
import json
import os
import signal
import subprocess

import harness
import pytest


def error(site, *arguments, check):
    return site.json(*arguments, check=check)["error"]


@pytest.mark.parametrize("arguments, says", [
    ([], "no command"),
    (["node"], "reeve node what?"),
    (["stpo"], "did you mean `stop`?"),
    (["node", "show", "a", "b"], "too much"),
    (["stop", "x", "--al"], "did you mean --all?"),
    (["ls", "--no-wait"], "is no option of `reeve ls`"),
    (["stop"], "which workers?"),
    (["stop", "Mm.1"], "'M' at 1 is not allowed"),
    (["stop", "x", "--grace", "5"], "5s or 5ms"),
    (["ls", "--timeout", "soon"], "--timeout"),
    (["ls", "--state", "dancing"], "expected one of created"),
    (["ls", "-l", "desk"], "expected KEY=VALUE"),
    (["logs", "x", "--tail", "many"], "expected 0 to 2000"),
    (["signal", "FOO", "x"], "FOO"),
    (["apply"], "which file?"),
    (["call", "x"], "something is missing"),
    (["completion", "tcsh"], "no shell"),
    (["ls", "--timeout"], "needs a value"),
    (["ls", "--broker", "http://here"], "mqtt://"),
    (["ls", "--mqtt", "3"], "expected 5 or 3.1.1"),
    (["ls", "--root", "a//b"], "root"),
    (["ls", "--user", "root"], "no user 'root'"),
])
def test_2_for_what_was_typed_wrong(site, arguments, says):
    done = site.run(*arguments, check=2)
    assert says in done.stderr and done.stdout == ""


def test_1_for_a_worker_that_nobody_knows(site):
    site.apply({"name": "mm-1", "command": ["sleep", "1000"]})
    done = site.run("stop", "mm-2", check=1)
    assert "no worker" in done.stderr and "did you mean 'mm-1'" in done.stderr
    assert "no worker fits" in site.run("stop", "--type", "nothing", check=1).stderr
    assert "no worker 'mm-3'" in site.run("stop", "mm-1", "mm-3", check=1).stderr
    assert site.worker("mm-1")["state"] == "running"


def test_1_for_a_wrong_password_that_is_named(site, tmp_path):
    password = tmp_path / "password"
    password.write_text("wrong\n")
    password.chmod(0o600)
    done = site.run("ls", "--broker", f"mqtt://127.0.0.1:{site.port}", "--user", "admin", "--password-file", password, check=1)
    assert "refuses user 'admin'" in done.stderr and "wrong" not in done.stderr
    password.chmod(0o644)
    done = site.run("ls", "--broker", f"mqtt://127.0.0.1:{site.port}", "--user", "admin", "--password-file", password)
    assert done.returncode == 2 and "644" in done.stderr


def test_1_for_what_a_viewer_may_not(site):
    done = site.run("stop", "broker", "--user", "viewer", check=1)
    assert "does not let this user" in done.stderr
    assert site.worker("broker")["state"] == "running"


def test_3_for_a_broker_that_is_not_there(site, tmp_path):
    port = harness.free_port()
    done = site.run("ls", "--broker", f"mqtt://127.0.0.1:{port}", check=3)
    assert f"mqtt://127.0.0.1:{port}" in done.stderr
    assert error(site, "ls", "--broker", f"mqtt://127.0.0.1:{port}", check=3)["exit"] == 3


def test_3_for_no_site_with_what_to_do(tmp_path):
    def run(env):
        return subprocess.run([harness.BIN / "reeve", "ls"], capture_output=True, text=True, env={**env, "HOME": str(tmp_path)})
    done = run({"REEVE_SITE": str(tmp_path / "nowhere")})
    assert done.returncode == 3 and "there is no site in" in done.stderr and "reeve up" in done.stderr
    done = run({"XDG_STATE_HOME": str(tmp_path)})
    assert done.returncode == 3 and f"{tmp_path}/reeve/site" in done.stderr


def test_3_for_a_node_that_is_not_there(site):
    done = site.run("stop", "nowhere/mm-1", check=3)
    assert "node nowhere is not there" in done.stderr


def test_3_at_once_for_a_node_that_is_dead(site):
    """[cmd-9] The will of its daemon says so: nobody waits for the timeout."""
    site.process.send_signal(signal.SIGSTOP)  # it would start the daemon again
    try:
        os.kill(site.daemon_pid(), signal.SIGKILL)
        done = harness.wait_until(lambda: next(
            (d for d in [site.run("stop", "broker", "--timeout", "20s")] if "is dead" in d.stderr), None), what="the will")
        assert done.returncode == 3
    finally:
        site.process.send_signal(signal.SIGCONT)
    harness.wait_until(lambda: site.run("drain", "--dry-run").returncode == 0, 60, "the daemon again", interval=0.2)


def test_3_for_no_answer_in_time_with_how_far_it_got(site):
    site.apply({"name": "slow", "desired": "stopped", "command": ["sleep", "1000"], "ready": {"log": "never"}})
    try:
        done = site.run("start", "slow", "--timeout", "2s", check=3)
        assert "start " in done.stderr and "accepted, waiting" in done.stderr and "not finished within the timeout" in done.stderr
        assert site.json("stop", "slow")["ok"]
    finally:
        site.reeve("rm", "slow")


def test_mqtt_311_does_the_same(site):
    site.apply({"name": "old-mqtt", "command": ["sleep", "1000"]})
    assert site.json("stop", "old-mqtt", "--mqtt", "3.1.1")["ok"]
    assert any(w["name"] == "old-mqtt" for w in site.json("ls", "--mqtt", "3.1.1")["workers"])
    # There a broker that refuses says nothing: the timeout names the possibility.
    done = site.run("start", "old-mqtt", "--mqtt", "3.1.1", "--user", "viewer", "--timeout", "1s", check=3)
    assert "may not do it" in done.stderr
    site.reeve("rm", "old-mqtt")


def test_json_errors_have_a_shape(site):
    failed = error(site, "ls", "--user", "nobody", check=2)
    assert failed["exit"] == 2 and failed["code"] == "invalid" and "nobody" in failed["message"]
    assert error(site, "stpo", check=2)["exit"] == 2


def test_mistakes_are_all_named_and_nothing_is_applied(site, tmp_path):
    """Ten mistakes of ten kinds: ten places, exit 2, nothing sent."""
    file = tmp_path / "ten.yaml"
    file.write_text("""\
workers:
  - name: Good.Bad
    command: sleep 5
  - name: b
    comand: [sleep, "5"]
  - name: c
    command: [sleep, "5"]
    memory_limit: 12 apples
    ttl: 300
    restart: {policy: sometimes}
  - name: d
    command: [sleep, "5"]
    cpu_limit: lots
    stop: {signal: SIGNOTHING, grace: -1s}
    max_pids: -3
""")
    done = site.run("apply", "-f", file, check=2)
    places = [line for line in done.stderr.splitlines() if line.startswith(f"{file}:")]
    assert len(places) >= 10, done.stderr
    for line in places:
        _, row, column, _ = line[len(str(file)) - len(str(file)):].split(":", 3)
        assert int(row) >= 1 and int(column) >= 1
    for row in (2, 3, 5, 8, 9, 10, 13, 14, 15):
        assert any(line.startswith(f"{file}:{row}:") for line in places), (row, done.stderr)
    assert "did you mean" in done.stderr and "nothing was applied" in done.stderr
    assert not {"b", "c", "d"} & {w["name"] for w in site.json("ls")["workers"]}
    mistakes = error(site, "apply", "-f", file, check=2)["mistakes"]
    assert len(mistakes) == len(places) and all(m["line"] and m["col"] and m["message"] for m in mistakes)


def test_a_name_in_two_files_is_a_mistake(site, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"name": "twin", "command": ["sleep", "5"]}))
    done = site.run("apply", "-f", tmp_path / "one.json", "-f", tmp_path / "two.json", check=2)
    assert "twin" in done.stderr and site.worker("twin") is None


def test_a_file_that_is_not_there(site, tmp_path):
    assert "nothing.yaml" in site.run("apply", "-f", tmp_path / "nothing.yaml", check=2).stderr

"""`reeve up`: one site per folder, which keeps its credentials and workers, and leaves nothing running."""
import json
import os
import pathlib
import signal
import stat
import subprocess

import harness
import pytest

SLEEPER = ["sh", "-c", "exec sleep 1000"]


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_site_json_is_as_promised_and_private(make_site):
    site = make_site().start()
    file = site.file
    assert set(file) == {"broker", "root", "node", "users"} and file["root"] == "reeve/v1/local" and file["node"] == site.node
    assert file["broker"]["host"] == "127.0.0.1" and 0 < file["broker"]["port"] < 65536
    assert set(file["users"]) == {"admin", "operator", "viewer", "producer"}
    assert all(len(user["password"]) == 24 and user["username"] == role for role, user in file["users"].items())
    assert mode(site.directory) == 0o700
    for path in [site.directory / "site.json", *(site.directory / "credentials").iterdir(), site.directory / "node.yaml",
                 *(site.directory / "broker").glob("[!m]*")]:
        assert mode(path) == 0o600, path
    for role in file["users"]:
        site.client(role).close()
    assert site.stop() == 0
    assert not (site.directory / "site.json").exists()


def test_a_second_start_goes_on_with_credentials_port_and_workers(make_site):
    first = make_site(port=0).start()
    first.apply({"name": "stays", "command": SLEEPER}, {"name": "stopped", "command": SLEEPER})
    first.reeve("stop", "stopped")
    users, port = first.file["users"], first.port
    assert first.stop() == 0
    first.check_nothing_left()
    second = first.start()
    assert second.file["users"] == users and second.port != port  # --port 0: any each time
    assert second.wait_state("stays", "running")["run"] == 2
    assert second.worker("stopped")["state"] == "stopped"
    assert second.stop() == 0


def test_a_second_up_in_the_folder_is_refused(make_site):
    site = make_site().start()
    second = subprocess.run([harness.BIN / "reeve", "up", "--dir", site.directory, "--port", "0"], capture_output=True, text=True)
    assert second.returncode == 1 and "runs in" in second.stderr and str(site.process.pid) in second.stderr
    assert site.reeve("ls").returncode == 0


def test_a_port_that_is_taken_is_named(make_site, tmp_path):
    import socket
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run([harness.BIN / "reeve", "up", "--dir", tmp_path / "other", "--port", str(port)],
                              capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and f"port {port}" in done.stderr and "--port 0" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_it_in_order(make_site, number):
    site = make_site(config={"workers": [{"name": "polite", "command": [
        "sh", "-c", "trap 'echo goodbye > goodbye; exit 0' TERM; echo > up; while :; do sleep 0.05; done"],
        "ready": {"log": "never"}, "cwd": "/"}]})
    site.config.write_text(json.dumps({"workers": [{"name": "polite", "cwd": str(site.directory.parent), "command": [
        "sh", "-c", "trap 'echo bye > goodbye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"],
        "ready": {"log": "ready"}}]}))
    site.start()
    site.wait_state("polite", "running")
    assert site.stop(number) == 0
    assert (site.directory.parent / "goodbye").read_text() == "bye\n"
    site.check_nothing_left()


def test_a_killed_daemon_is_started_again_and_its_workers_never_noticed(make_site):
    site = make_site().start()
    site.apply({"name": "steady", "command": SLEEPER})
    before = site.worker("steady")["pid"]
    daemon = site.daemon_pid()
    os.kill(daemon, signal.SIGKILL)
    harness.wait_until(lambda: site.run("stop", "nobody").returncode == 1, 60, "an answer of the new daemon", interval=0.2)
    assert site.daemon_pid() != daemon
    assert site.worker("steady")["pid"] == before
    assert "starting it again" in site.err()


def test_a_killed_up_takes_its_site_along(make_site):
    """Nobody is left to stop it, so the daemon stops it in order."""
    site = make_site().start()
    site.apply({"name": "orphan", "command": SLEEPER})
    site.process.kill()
    site.wait()
    site.check_nothing_left()
    site.expected_code = -signal.SIGKILL
    # And the next start finds a folder that it can go on with.
    again = site.start()
    site.expected_code = 0
    assert again.wait_state("orphan", "running")


def test_shutdown_by_command_ends_it(make_site):
    site = make_site().start()
    site.reeve("node", "shutdown")
    assert site.wait() == 0
    site.check_nothing_left()


def test_the_config_adds_workers_types_and_settings(make_site):
    site = make_site(config={"node": {"labels": {"rack": "7"}, "heartbeat": "1s"}, "types": {"nap": ["sleep", "1000"]},
                             "workers": [{"name": "napper", "type": "nap"}]}).start()
    assert site.wait_state("napper", "running")["type"] == "nap"
    status = site.json("node", "ls")["nodes"][0]["status"]
    assert status["labels"] == {"rack": "7"} and status["heartbeat_ms"] == 1000


def test_a_changed_config_is_applied_by_reload(make_site):
    site = make_site(config={"workers": [{"name": "old", "command": SLEEPER}, {"name": "kept", "command": SLEEPER}]}).start()
    site.wait_state("old", "running")
    pid = site.wait_state("kept", "running")["pid"]
    site.config.write_text(json.dumps({"workers": [{"name": "kept", "command": SLEEPER}, {"name": "new", "command": SLEEPER}]}))

    def reloaded():
        return site.json("node", "reload")["commands"][0]["result"].get("added") == ["new"]
    harness.wait_until(reloaded, what="the new file", interval=0.1)
    assert site.wait_state("new", "running")
    assert site.worker("kept")["pid"] == pid
    harness.wait_until(lambda: site.worker("old") is None, what="end of old", interval=0.1)


def test_a_config_with_mistakes_starts_nothing(make_site):
    site = make_site(config="workers:\n  - name: a\n    comand: [x]\n  - name: B\n    command: [x]\n")
    site.start(ready=False)
    assert site.wait() == 2
    site.expected_code = 2
    assert f"{site.config}:3:" in site.err() and f"{site.config}:4:" in site.err()
    assert not (site.directory / "site.json").exists()


def test_the_older_forms_of_configuration_load(make_site, tmp_path):
    """daemon.yaml and client.yaml as users have them: the port of the broker, api keys as users with an operator's rights."""
    port = harness.free_port()
    text = (harness.SOURCE / "docs/examples/daemon.yaml").read_text().replace("port: 8000", f"port: {port}")
    site = make_site(config=text, port=None)
    site.start()
    assert site.port == port
    assert "daemon.host" in site.err()
    profile = tmp_path / "client.yaml"
    text = (harness.SOURCE / "docs/examples/client.yaml").read_text()
    profile.write_text(text.replace("kdf.example.com", "127.0.0.1").replace("8000", str(port)).replace("ssl: true", "ssl: false"))
    profile.chmod(0o600)
    listed = json.loads(subprocess.run([harness.BIN / "reeve", "ls", "--json", "--profile", profile], capture_output=True,
                                       text=True, check=True).stdout)
    assert [w["name"] for w in listed["workers"]] == ["broker", "manager"]
    # An operator steers what is there, and defines nothing.
    done = subprocess.run([harness.BIN / "reeve", "apply", "-f", "-", "--node", site.node, "--profile", profile],
                          input=json.dumps({"name": "x", "command": ["sleep", "1"]}), capture_output=True, text=True)
    assert done.returncode == 1 and "does not let this user" in done.stderr
    profile.write_text(text)  # with TLS to a host that is not there: it loads, and says what is wrong
    done = subprocess.run([harness.BIN / "reeve", "ls", "--timeout", "5s", "--profile", profile], capture_output=True, text=True)
    assert done.returncode == 3 and "kdf.example.com" in done.stderr


def test_without_mosquitto_it_says_what_to_install(tmp_path):
    """In a mount namespace where the program is not."""
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("no mount namespaces here")
    script = f'mount --bind /dev/null /usr/sbin/mosquitto && exec "{harness.BIN}/reeve" up --dir "{tmp_path}/site" --port 0'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "apt install mosquitto" in done.stderr


def test_a_role_is_no_name_for_a_node(tmp_path):
    done = subprocess.run([harness.BIN / "reeve", "up", "--dir", tmp_path / "site", "--port", "0", "--name", "admin"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "role" in done.stderr
    assert not pathlib.Path(tmp_path / "site/site.json").exists()


def test_a_node_may_get_another_name(make_site):
    site = make_site().start()
    site.apply({"name": "stays", "command": SLEEPER})
    assert site.stop() == 0
    site.options[site.options.index("--name") + 1] = site.node = site.node + "b"
    site.start()
    assert site.file["node"] == site.node
    assert site.wait_state("stays", "running")["node"] == site.node


def test_without_port_it_takes_the_last_one(make_site):
    site = make_site().start()
    port = site.port
    assert site.stop() == 0
    site.port_option = None
    site.start()
    assert site.port == port

"""Reload: a file is read whole, every mistake is told with its place, a wrong one changes nothing."""
import json
import re
import signal
import subprocess

import harness
import pytest

import nodes
from nodes import SLEEPER

TEN_MISTAKES = """\
node:
  name: Bad.Name
  heartbeat: soon
  max_wrokers: 5
  on_exit: maybe
broker:
  url: mqtt://127.0.0.1:1883
  version: 7
workers:
  - name: a
    command: [sleep, 10]
    memory_limit: 12 parsecs
    restart:
      polciy: always
  - name: b
    command: "sleep 10; rm -rf /"
    stop:
      signal: SIGFOO
  - name: c/../d
    command: [sleep, 10]
    ttl: -5s
"""
PLACES = [("2:9", "node.name"), ("3:14", "node.heartbeat"), ("4:3", "max_wrokers"), ("5:12", "node.on_exit"),
          ("8:12", "broker.version"), ("12:19", "memory_limit"), ("14:7", "polciy"), ("16:14", "command"),
          ("18:15", "stop.signal"), ("19:11", "name"), ("21:10", "ttl")]


def check(path, *options):
    return subprocess.run([harness.BIN / "reeved", "--config", path, *options], capture_output=True, text=True, timeout=30,
                          check=False)


def test_every_mistake_of_a_file_is_told_with_line_and_column(tmp_path):
    """Eleven mistakes of different kinds (name, duration, unknown keys with the nearest, choice, version, size,
    a command that wants a shell, a signal, a path in a name, a negative time): all in one run, each at its line:column,
    exit 2, and no state folder is made."""
    path = tmp_path / "node.yaml"
    path.write_text(TEN_MISTAKES + f"workers_dir: {tmp_path}/none\n")
    result = check(path, "--check")
    assert result.returncode == 2, result
    lines = result.stderr.splitlines()
    for place, word in PLACES:
        assert any(line.startswith(f"{path}:{place}:") and word in line for line in lines), (place, word, result.stderr)
    assert "did you mean max_workers?" in result.stderr and "did you mean policy?" in result.stderr
    assert any("workers_dir" in line for line in lines), "mistakes of other sections hide that of workers_dir"
    assert check(path).returncode == 2, "a daemon must not start from it"


def test_a_good_file_passes_and_names_what_only_this_host_can_tell(tmp_path):
    """--check of a good file: exit 0 and how many workers; an unknown user or a missing program: named, exit 2."""
    path = tmp_path / "node.yaml"
    path.write_text("workers:\n  - name: a\n    command: [sleep, 10]\n")
    result = check(path, "--check")
    assert result.returncode == 0 and "ok, 1 worker" in result.stdout, result
    path.write_text("workers:\n  - {name: a, command: [sleep, 10], user: no-such-user}\n  - {name: b, type: no-such}\n")
    result = check(path, "--check")
    assert result.returncode == 2 and "no-such-user" in result.stderr and "no-such" in result.stderr, result


@pytest.mark.parametrize("text, word", [
    ("node: [", ""), ("\tnode: 1", ""), ("a: &x [1]\nb: *x", ""), ("- 1\n- 2", "map"), ("[" * 200000, ""),
    ("node: {name: a}\nnode: {name: b}", "twice"), ("\0\1\2", ""), ("workers: {a: 1}", "list"),
    ("workers:\n  - command: [sleep, 1]\n", "name"), ("types: {swap: /bin/swap}", "list")],
    ids=["open", "tab", "alias", "list", "deep", "twice", "binary", "no-list", "no-name", "no-argv"])
def test_a_file_that_is_no_configuration_is_refused_at_once(tmp_path, text, word):
    """F55, S27. Broken YAML, aliases, depth, double keys, binary, wrong shapes: exit 2 within seconds, with the file
    named."""
    path = tmp_path / "node.yaml"
    path.write_bytes(text.encode())
    result = check(path, "--check")
    assert result.returncode == 2 and str(path) in result.stderr and word in result.stderr, result
    assert check(tmp_path / "missing.yaml", "--check").returncode == 2


def test_the_files_that_users_already_have_load_unchanged(tmp_path):
    """docs/examples/daemon.yaml as a node's configuration: exit 0, what is not acted upon is a warning."""
    result = check(harness.SOURCE / "docs/examples/daemon.yaml", "--check")
    assert result.returncode == 0 and "warning" in result.stderr, result
    assert tmp_path.exists()


def test_usage_errors_exit_with_two():
    """Unknown options and stray arguments: exit 2 with a hint; --help and --version: exit 0."""
    for arguments in (["--bogus"], ["stray"], ["--log-level", "loud", "--config", "/dev/null"]):
        result = subprocess.run([harness.BIN / "reeved", *arguments], capture_output=True, text=True, timeout=30, check=False)
        assert result.returncode == 2 and result.stderr, arguments
    for arguments in (["--help"], ["--version"]):
        assert subprocess.run([harness.BIN / "reeved", *arguments], capture_output=True, timeout=30, check=False).returncode == 0


# ---- reload ------------------------------------------------------------------------------------------------------------------

def test_reload_says_what_it_added_changed_restarted_removed_and_left(make_node, admin):
    """One of each: a new worker runs, a changed command makes a new run, a changed label does not, one that is gone from
    the file is stopped and removed, the rest keeps its pid; one applied by command is not touched."""
    node = make_node(workers=[{"name": n, "command": SLEEPER} for n in ("same", "live", "anew", "gone")])
    admin.apply({"name": "mine", "command": SLEEPER})
    before = {n: admin.wait_state(n, "running") for n in ("same", "live", "anew", "gone", "mine")}
    node.workers = [{"name": "same", "command": SLEEPER}, {"name": "live", "command": SLEEPER, "labels": {"desk": "b"}},
                    {"name": "anew", "command": ["sleep", "5000"]}, {"name": "new", "command": SLEEPER}]
    node.write_config()
    plan = admin.do("", "reload", dry_run=True)["result"]
    expected = {"added": ["new"], "changed": ["live"], "restarted": ["anew"], "removed": ["gone"], "unchanged": ["same"]}
    assert {k: plan[k] for k in expected} == expected, plan
    assert admin.process("new") is None and nodes.alive(before["gone"]["pid"])
    report = admin.do("", "reload")["result"]
    assert {k: report[k] for k in expected} == expected, report
    admin.wait_gone("gone")
    assert not nodes.alive(before["gone"]["pid"])
    admin.wait_state("new", "running")
    assert admin.wait_state("anew", "running", run=2)["pid"] != before["anew"]["pid"]
    for name in ("same", "live", "mine"):
        assert admin.process(name)["pid"] == before[name]["pid"], name
    assert admin.wait_process("live", lambda p: p["labels"] == {"desk": "b"})
    admin.wait_event("reloaded")
    again = admin.do("", "reload")["result"]
    assert set(again["unchanged"]) == {"same", "live", "anew", "new"} and "added" not in again, again


def test_a_bad_file_changes_nothing_on_reload(make_node, admin):
    """F55. The reply has the place of the mistake; workers, pids and settings are as before; SIGHUP too."""
    node = make_node(workers=[{"name": "a", "command": SLEEPER}])
    record = admin.wait_state("a", "running")
    for text in ('{"node": {"name": "x"', TEN_MISTAKES, json.dumps({**node.config_value(), "workers": [{"name": "b"}]})):
        node.write_config(text)
        reply = admin.refused("", "reload")
        assert str(node.config) in str(reply["message"]), reply
        node.signal(signal.SIGHUP)
    admin.do("", "list")
    assert admin.process("a")["pid"] == record["pid"] and admin.process("b") is None
    node.write_config()
    node.signal(signal.SIGHUP)
    admin.wait_event("reloaded")
    assert admin.process("a")["pid"] == record["pid"]


def test_settings_change_by_reload_or_are_named_as_needing_a_restart(make_node, admin):
    """max_workers, heartbeat and region hold at once; root, state_dir and the broker's url are named in needs_restart."""
    node = make_node()
    node.section.update(max_workers=1, region="eu", heartbeat="300ms")
    node.broker_options["url"] = "mqtt://127.0.0.1:1"
    node.write_config()
    report = admin.do("", "reload")["result"]
    assert report["needs_restart"] == ["broker.url"], report
    assert admin.wait_status(lambda s: s.get("region") == "eu" and s["heartbeat_ms"] == 300)
    admin.apply({"name": "a", "command": SLEEPER})
    admin.refused("", "apply", {"name": "b", "command": SLEEPER}, "limit", "max_workers")
    del node.broker_options["url"]


def test_a_worker_stopped_by_command_stays_stopped_over_reload_and_restart(make_node, admin):
    """The desired state of a command outlives an unchanged file: reload and a new daemon do not start it."""
    node = make_node(workers=[{"name": "a", "command": SLEEPER}])
    record = admin.wait_state("a", "running")
    admin.do("a", "stop")
    assert admin.do("", "reload")["result"]["unchanged"] == ["a"]
    node.restart()
    assert admin.wait_process("a", lambda p: p["epoch"] > record["epoch"])["state"] == "stopped"


def test_workers_of_a_folder_are_read_and_reloaded(make_node, admin, tmp_path):
    """workers_dir: every yaml, yml and json in it; a name twice is a mistake that changes nothing."""
    folder = tmp_path / "workers.d"
    folder.mkdir()
    (folder / "one.yaml").write_text("worker:\n  name: one\n  command: [sleep, 1000]\n")
    (folder / "two.json").write_text(json.dumps({"name": "two", "command": SLEEPER}))
    (folder / "ignored.txt").write_text("nonsense: [")
    make_node(extra={"workers_dir": str(folder)})
    admin.wait_state("one", "running")
    admin.wait_state("two", "running")
    (folder / "three.yml").write_text("worker:\n  name: one\n  command: [sleep, 1000]\n")
    admin.refused("", "reload", None, None, "twice")
    (folder / "three.yml").write_text("worker:\n  name: three\n  command: [sleep, 1000]\n")
    (folder / "one.yaml").unlink()
    report = admin.do("", "reload")["result"]
    assert report["added"] == ["three"] and report["removed"] == ["one"], report
    admin.wait_gone("one")


def test_apply_takes_all_specs_or_none(node, admin):
    """Three specs, one wrong: refused with its path, none is there. A name twice likewise."""
    admin.refused("", "apply", {"workers": [{"name": "a", "command": SLEEPER}, {"name": "b", "command": SLEEPER, "ttl": 5},
                                            {"name": "c", "command": SLEEPER}]}, "invalid", "workers[1].ttl")
    admin.refused("", "apply", {"workers": [{"name": "a", "command": SLEEPER}] * 2}, "invalid", "a")
    assert admin.do("", "list")["result"]["total"] == 0


def test_a_worker_without_a_name_gets_one(node, admin):
    """worker-{type}-{exchange}-{host}-{8 hex}; two applications make two workers."""
    for _ in range(2):
        admin.do("", "apply", {"worker": {"command": SLEEPER, "type": "maker", "exchange": "kraken"}})
    names = list(admin.do("", "list")["result"]["workers"])
    assert len(names) == 2 and all(re.fullmatch(rf"worker-maker-kraken-{node.name}-[0-9a-f]{{8}}", n) for n in names), names


def test_a_lower_max_workers_ends_nobody(make_node, admin):
    """Three workers by command, then max_workers: 1 and a new daemon: all three are adopted with their pids; a fourth is
    refused."""
    node = make_node()
    admin.apply(*({"name": name, "command": SLEEPER} for name in "abc"))
    before = {name: admin.wait_state(name, "running") for name in "abc"}
    node.kill()
    node.section["max_workers"] = 1
    node.start()
    for name in "abc":
        after = admin.wait_process(name, lambda p, n=name: p["epoch"] > before[n]["epoch"] and p["state"] == "running")
        assert after["pid"] == before[name]["pid"]
    admin.refused("", "apply", {"name": "d", "command": SLEEPER}, "limit", "max_workers")

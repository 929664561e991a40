"""--dry-run asks, --print-mqtt prints the line of another program that does the same, --no-wait does not wait."""
import json
import subprocess

import harness
import pytest

SLEEPER = ["sleep", "1000"]


@pytest.fixture
def worker(site, request):
    name = "w-" + str(abs(hash(request.node.name)) % 10**8)
    site.apply({"name": name, "type": name, "command": SLEEPER})
    yield name
    site.run("rm", name)


def test_dry_run_changes_nothing(site, worker):
    before = site.worker(worker)
    for arguments in (["stop", worker], ["restart", worker], ["kill", "--type", worker], ["rm", worker], ["drain"],
                      ["node", "reload"]):
        answer = site.json(*arguments, "--dry-run")
        assert answer["dry_run"] and answer["commands"][0]["result"]["dry_run"]
    changed = json.dumps({"workers": [{"name": worker, "command": ["sleep", "5"]}, {"name": "never-there", "command": SLEEPER}]})
    plan = site.json("apply", "-f", "-", "--dry-run", input=changed)["commands"][0]["result"]["workers"]
    assert plan[worker]["change"] == "restarted" and plan["never-there"]["change"] == "added"
    assert "failed after 10 in 10m" in plan["never-there"]["restarts"]
    after = site.worker(worker)
    assert (before["pid"], before["run"], before["state"]) == (after["pid"], after["run"], after["state"])
    assert site.worker("never-there") is None


def test_a_dry_run_of_what_would_be_refused_is_refused(site, worker):
    assert site.json("signal", "HUP", "broken-name", "--dry-run", check=1)["ok"] is False


def run_line(line):
    subprocess.run(["sh", "-c", line], check=True, timeout=harness.DEADLINE)


def test_the_printed_line_does_the_same(site, worker):
    line = site.reeve("stop", worker, "--print-mqtt").stdout
    assert line.startswith("mosquitto_pub -h 127.0.0.1 ") and line.rstrip().endswith("-n")
    assert site.worker(worker)["state"] == "running"  # printing sent nothing
    run_line(line)
    site.wait_state(worker, "stopped")


def test_the_printed_line_of_a_selector_does_the_same(site, worker):
    line = site.reeve("stop", "--type", worker, "--grace", "3s", "--print-mqtt").stdout
    assert f'"type":"{worker}"' in line and '"grace":"3s"' in line
    run_line(line)
    site.wait_state(worker, "stopped")


def test_the_printed_line_of_apply_survives_every_quote(site, worker):
    nasty = "it's \"$HOME\" `x` \\ \n \t €"
    spec = json.dumps({"name": worker, "command": ["sh", "-c", "printf '%s' \"$1\"; exec sleep 1000", "sh", nasty]})
    run_line(site.reeve("apply", "-f", "-", "--print-mqtt", input=spec).stdout)

    def applied():
        return (site.json("show", worker)["describe"] or {})["spec"].get("command", [])[-1] == nasty
    harness.wait_until(applied, what="the spec as it was written", interval=0.1)


def test_the_printed_line_shows_no_password(site, worker):
    line = site.reeve("stop", worker, "--print-mqtt").stdout
    for role in ("admin", "operator", "viewer"):
        assert site.file["users"][role]["password"] not in line


def test_no_wait_leaves_at_once(site, worker):
    answer = site.json("stop", worker, "--no-wait")
    assert answer["ok"] and "phase" not in answer["commands"][0] and answer["commands"][0]["id"]
    site.wait_state(worker, "stopped")


def test_several_nodes_get_a_command_each(site, worker):
    """Without a second node here: what is printed for a node that is named goes to that node's topic."""
    line = site.reeve("stop", "other/a", "other/b", "--print-mqtt", "--node", "other").stdout
    assert site.topic("node/other/cmd/stop") in line and '"workers":["a","b"]' in line

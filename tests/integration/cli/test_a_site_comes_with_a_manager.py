"""A site with its manager, as a person has it: `reeve up`, and the commands about fleet, pools, accounts, alarms and the manager."""
import json
import os
import pathlib
import re
import signal
import subprocess

import harness
import pytest

SLEEPER = ["sleep", "1000"]
TRIO = {"pool": {"name": "trio", "size": 3, "template": {"type": "probe"}}}


def pools(site):
    return {pool["pool"]: pool for pool in site.json("pool", "ls")["pools"]}


def wait_ready(site, name, count):
    harness.wait_until(lambda: pools(site).get(name, {}).get("ready") == count, 30, f"{count} of {name}", interval=0.1)


@pytest.fixture
def trio(site):
    """A pool of three, gone at the end of the test."""
    site.reeve("pool", "apply", "-f", "-", "--wait", input=json.dumps(TRIO))
    yield site
    site.run("fleet", "clear", "--all")
    site.run("fleet", "start", "--all")
    site.run("pool", "delete", "trio")
    harness.wait_until(lambda: "trio" not in pools(site), 30, "the end of the pool", interval=0.1)


# ---- up -----------------------------------------------------------------------------------------------------------


def test_a_site_is_ready_when_its_manager_answers(site):
    assert site.reeve("manager", "ls", "-q").stdout == "main\n"
    listed = site.json("manager", "ls")["managers"][0]
    assert listed["state"] == "online" and listed["status"]["pid"] == site.worker("manager")["pid"]
    assert site.json("manager", "show")["name"] == "main"
    report = site.json("doctor")
    assert any(f["check"] == "manager" and f["level"] == "ok" and "answers" in f["text"] for f in report["findings"]), report
    assert (site.directory / "manager.yaml").stat().st_mode & 0o777 == 0o600


def test_nobody_means_the_manager_by_accident(site):
    """Like the broker it is spared by globs and `all`, of the node's commands and of its own."""
    site.apply({"name": "one", "command": SLEEPER})
    before = site.worker("manager")["pid"]
    site.reeve("stop", "--all")
    site.reeve("restart", "--all")
    site.reeve("fleet", "stop", "--all", "--yes")
    site.reeve("fleet", "start", "--all")
    site.reeve("stop", "m*", "o*")
    assert site.worker("manager")["pid"] == before and site.worker("broker")["state"] == "running"
    assert "one" in {w["worker"] for w in site.json("fleet", "ls")["workers"]}
    site.reeve("restart", "manager")  # its own name means it
    harness.wait_until(lambda: site.run("fleet", "stats").returncode == 0, 20, "the manager again", interval=0.1)
    assert site.worker("manager")["pid"] != before
    site.reeve("rm", "one")


def test_a_killed_manager_comes_back_and_finds_its_pools(trio):
    os.kill(trio.worker("manager")["pid"], signal.SIGKILL)
    names = {m["worker"] for m in pools(trio)["trio"]["members"]}
    harness.wait_until(lambda: trio.run("pool", "scale", "trio", "4").returncode == 0, 20, "the manager again", interval=0.1)
    wait_ready(trio, "trio", 4)
    assert names < {m["worker"] for m in pools(trio)["trio"]["members"]}


def test_the_managers_section_of_the_users_file_is_its_own(make_site, tmp_path):
    """Folders from where the file is. A pool of a file is there with the site; what `scale` said stays over a restart of the site,
    and everything is gone after its end."""
    (tmp_path / "pools").mkdir()
    (tmp_path / "pools" / "trio.yaml").write_text(json.dumps(TRIO))
    site = make_site(config={"manager": {"pools_dir": "pools", "heartbeat": "1s"}, "workers": [{"name": "w", "command": SLEEPER}]})
    with site:
        wait_ready(site, "trio", 3)
        assert site.worker("w")["state"] == "running"
        site.reeve("pool", "scale", "trio", "2", "--wait")
    log = (site.directory / "reeved.log").read_text()
    ends = [re.search(r"worker=(\S+) ", line).group(1) for line in log.splitlines() if "to=stopped" in line and "to=stopped cause=\"exit" in line]
    assert ends[-2:] == ["manager", "broker"], log  # everybody else before it
    with site:
        wait_ready(site, "trio", 2)


def test_a_mistake_in_the_managers_section_is_named_and_nothing_starts(make_site):
    site = make_site(config={"manager": {"pool_dir": "x"}})
    site.start(ready=False)
    site.expected_code = 2
    assert site.wait() == 2
    assert "manager.pool_dir" in site.err() and "did you mean pools_dir?" in site.err() and "`manager` section" in site.err()
    site.check_nothing_left()


def test_without_a_manager_the_rest_of_a_site_is_as_before(make_site):
    with make_site("site", "--no-manager") as site:
        site.apply({"name": "one", "command": SLEEPER})
        assert [w["name"] for w in site.json("ls")["workers"]] == ["broker", "one"]
        assert "no manager is running here" in site.run("fleet", "ls", check=3).stderr
        assert site.json("node", "reload")["commands"][0]["result"]["unchanged"] == ["broker"]
        assert any(f["check"] == "manager" and f["level"] == "warn" for f in site.json("doctor")["findings"])


def test_a_manager_that_can_not_start_keeps_no_site_from_being_ready(make_site):
    """Its store is damaged: it says so in its log, the workers run."""
    site = make_site()
    with site:
        pass
    for path in (site.directory / "state/manager").glob("manager.db*"):
        path.write_bytes(b"not a database" * 1000)
    with site:
        assert "the manager does not answer" in site.err()
        assert "--restore" in site.reeve("logs", "manager").stdout
        site.apply({"name": "one", "command": SLEEPER})
        assert site.worker("one")["state"] == "running"
        assert site.run("fleet", "ls").returncode == 3


def test_reload_tells_when_the_manager_has_to_be_restarted(make_site):
    site = make_site(config={"manager": {"heartbeat": "2s"}})
    with site:
        assert "restart manager" not in site.reeve("node", "reload").stderr
        site.config.write_text(json.dumps({"manager": {"heartbeat": "1s"}}))
        before = (site.directory / "manager.yaml").read_text()
        site.reeve("node", "reload", "--dry-run")
        assert (site.directory / "manager.yaml").read_text() == before
        assert "`reeve restart manager`" in site.reeve("node", "reload").stderr
        site.config.write_text(json.dumps({"manager": {"heartbeat": "soon"}}))
        assert "manager.heartbeat" in site.run("node", "reload", check=2).stderr
        assert "1s" in (site.directory / "manager.yaml").read_text()  # what is right stays


# ---- the fleet ----------------------------------------------------------------------------------------------------


def test_the_tour_of_the_fleet(trio):
    worker = pools(trio)["trio"]["members"][0]["worker"]
    assert {w["worker"] for w in trio.json("fleet", "ls", "--pool", "trio")["workers"]} == {
        m["worker"] for m in pools(trio)["trio"]["members"]}
    assert trio.json("fleet", "stats", "--pool", "trio")["total"] == 3
    assert trio.json("fleet", "show", worker)["verdict"]["pool"] == "trio"
    assert trio.json("fleet", "why", worker)["why"]
    found = trio.reeve("fleet", "find", "--type", "probe", "-r", "pool=trio", "--count", "2", "-q").stdout.split()
    assert len(found) == 2 and found[0].startswith(f"{trio.node}/")
    assert "meet type=nothing" in trio.run("fleet", "find", "--type", "nothing", check=1).stderr
    assert trio.json("fleet", "offline", "--pool", "trio", "--reason", "lunch")["ok"]
    harness.wait_until(lambda: {w["availability"] for w in trio.json("fleet", "ls", "--pool", "trio")["workers"]} == {"offline"},
                       20, "all offline", interval=0.1)
    assert trio.json("fleet", "show", worker)["hold"]["reason"] == "lunch"
    assert trio.run("fleet", "find", "-r", "pool=trio").returncode == 1
    trio.reeve("fleet", "online", "--pool", "trio")
    assert "did you mean" in trio.run("fleet", "why", worker[:-1] + "x", check=1).stderr


def test_stop_all_stops_what_can_be_stopped_and_start_all_ends_it(trio):
    done = trio.reeve("fleet", "stop", "--all", "--yes")
    assert re.match(r"\d+ of \d+ stopped in \d+", done.stdout), done.stdout
    assert pools(trio)["trio"]["ready"] == 0 and "the fleet is stopped" in trio.reeve("pool", "ls").stdout
    trio.reeve("fleet", "start", "--all")
    wait_ready(trio, "trio", 3)
    worker = pools(trio)["trio"]["members"][0]["worker"]
    trio.reeve("fleet", "shutdown", worker, "--yes")
    trio.run("start", worker)
    harness.wait_until(lambda: trio.worker(worker)["state"] == "stopped", 20, "stopped again", interval=0.1)
    assert "shutdown" in trio.reeve("fleet", "why", worker).stdout
    assert "shut" in trio.run("fleet", "start", worker).stdout + trio.run("fleet", "start", worker).stderr
    trio.reeve("fleet", "clear", worker)
    assert "1 of 1 started" in trio.reeve("fleet", "start", worker).stdout
    wait_ready(trio, "trio", 3)


def test_watch_sees_a_change(site):
    site.apply({"name": "seen", "command": SLEEPER})
    process = subprocess.Popen([harness.BIN / "reeve", "fleet", "watch", "seen", "--json", "--site", site.directory],
                               stdout=subprocess.PIPE, text=True, env=site.env)
    assert json.loads(process.stdout.readline())["record"]["state"] == "running"
    site.reeve("stop", "seen")
    while json.loads(process.stdout.readline())["record"]["state"] != "stopped":
        pass
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    process.stdout.close()
    site.reeve("rm", "seen")


# ---- pools --------------------------------------------------------------------------------------------------------


def test_the_tour_of_a_pool(site, tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("pool:\n  name: tour\n  size: 2\n  template: {type: probe}\n")
    plan = site.json("pool", "apply", "-f", file, "--dry-run")["commands"][0]["result"]
    assert plan["created"] and "tour" not in pools(site)
    assert "dry run: created" in site.reeve("pool", "apply", "-f", file, "--dry-run").stdout
    assert site.reeve("pool", "apply", "-f", file, "--wait").stdout == "pool tour: created, version 1\npool tour: 2 ready\n"
    assert "unchanged" in site.reeve("pool", "apply", "-f", file).stdout
    assert site.reeve("pool", "scale", "tour", "+1", "--wait").stdout == "pool tour: 2 -> 3\npool tour: 3 ready\n"
    assert site.reeve("pool", "scale", "tour", "-1", "--wait").stdout == "pool tour: 3 -> 2\npool tour: 2 ready\n"
    assert "would go to" in site.reeve("pool", "explain", "tour").stdout
    assert site.json("pool", "show", "tour")["spec"]["template"]["type"] == "probe"
    lease = site.json("pool", "acquire", "tour", "--lease", "1m")["commands"][0]["result"]
    assert pools(site)["tour"]["acquired"] == 1
    site.reeve("pool", "renew", "tour", lease["lease_id"], "--lease", "2m")
    site.reeve("pool", "release", "tour", lease["lease_id"])
    assert "no lease" in site.run("pool", "release", "tour", lease["lease_id"], check=1).stderr
    file.write_text("pool:\n  name: tour\n  size: 2\n  template: {type: probe, labels: {v: '2'}}\n  update: {healthy: 0s}\n")
    assert "version 2 is rolled out" in site.reeve("pool", "apply", "-f", file, "--wait").stdout
    assert [v["version"] for v in site.json("pool", "history", "tour")["versions"] if v["current"]] == [2]
    assert "version 2 -> 1" in site.reeve("pool", "rollback", "tour", "--wait").stdout
    site.reeve("pool", "pause", "tour")
    assert pools(site)["tour"]["paused"]
    site.reeve("pool", "resume", "tour")
    site.reeve("pool", "drain", "tour", "--wait")
    site.reeve("pool", "delete", "tour", "--yes")
    harness.wait_until(lambda: "tour" not in pools(site), 20, "the end of the pool", interval=0.1)


def test_unknown_names_and_wrong_arguments_are_named_by_the_manager(trio):
    for arguments, says in ((["pool", "scale", "trip", "1"], "did you mean 'trio'"), (["pool", "show", "tri"], "did you mean 'trio'"),
                            (["pool", "scale", "trio", "99999"], "args.size"), (["pool", "rollback", "trio", "77"], "no version 77"),
                            (["account", "start", "nobody"], "accounts"), (["fleet", "restart", "nobodyx"], "no worker"),
                            (["fleet", "stop", "--type", "nothing"], "no worker fits"), (["alarm", "ack", "x/y", "--by", "kim"], "x")):
        done = trio.run(*arguments, check=1)
        assert says in done.stderr, (arguments, done.stderr)


def test_the_shell_completes_names_of_pools(trio):
    script = subprocess.run([harness.BIN / "reeve", "completion", "bash"], capture_output=True, text=True, check=True).stdout
    out = subprocess.run(["bash", "-c", script + "\nCOMP_WORDS=(reeve pool scale t); COMP_CWORD=3; _reeve; echo ${COMPREPLY[@]}"],
                         capture_output=True, text=True, env={**trio.env, "REEVE_SITE": str(trio.directory),
                                                             "PATH": f"{harness.BIN}:{os.environ['PATH']}"}).stdout
    assert out == "trio\n"


# ---- accounts -----------------------------------------------------------------------------------------------------


ACCOUNT = """\
account_id: {id}
enabled: true
login: "{id}"
password: file:/etc/reeve/secrets/{id}
server: demo.example.com:443
default_risk: {{risk_percent: 1.0, max_positions: {positions}, portfolio_risk_percent: 6, max_concurrent_trades: 3}}
currencies: [{{symbol: EURUSD, enabled: true, strategy: grid}}]
worker: {{command: [sleep, "1000"]}}
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A site with four accounts, one of them wrong."""
    from site_under_test import Site
    directory = tmp_path_factory.mktemp("desk")
    accounts = directory / "accounts"
    accounts.mkdir()
    for name, positions in (("desk-a", 5), ("desk-b", 0), ("desk-c", 2), ("desk-d", 1)):
        (accounts / f"{name}.yaml").write_text(ACCOUNT.format(id=name, positions=positions))
    with Site(directory / "site", config={"manager": {"accounts_dir": "accounts"}}) as site:
        site.accounts = accounts
        yield site


def test_accounts_are_checked_here_without_a_manager(desk, tmp_path):
    done = subprocess.run([harness.BIN / "reeve", "account", "validate", "--dir", desk.accounts], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "3 valid, 1 invalid, 0 warnings\n"
    assert f"{desk.accounts}/desk-b.yaml:6:" in done.stderr and "max_positions" in done.stderr
    found = json.loads(subprocess.run([harness.BIN / "reeve", "account", "validate", "--dir", desk.accounts, "--json"],
                                      capture_output=True, text=True).stdout)
    assert found["invalid"] == 1 and found["mistakes"][0]["line"] == 6
    done = subprocess.run([harness.BIN / "reeve", "account", "validate", "--dir", tmp_path / "none"], capture_output=True, text=True)
    assert done.returncode != 0 and "none" in done.stderr


def test_the_tour_of_accounts(desk):
    assert sorted(desk.reeve("account", "ls", "-q").stdout.split()) == ["desk-a", "desk-b", "desk-c", "desk-d"]
    text = desk.run("account", "validate", check=1).stdout
    assert "desk-b.yaml:6:" in text and "3 valid, 1 invalid" in text
    done = desk.run("account", "start-all", "--timeout", "20s", check=1)
    assert "desk-b: failed" in done.stdout and "max_positions" in done.stdout and "3 of 4 started" in done.stdout, done.stdout
    states = {a["account"]: a["state"] for a in desk.json("account", "status")["accounts"]}
    assert states == {"desk-a": "running", "desk-b": "created", "desk-c": "running", "desk-d": "running"}
    assert "desk-b" not in desk.reeve("account", "status", "desk-a").stdout
    assert "running" in desk.reeve("account", "show", "desk-a").stdout
    assert "1 of 1 restarted" in desk.reeve("account", "restart", "desk-a").stdout
    assert "1 of 1 stopped" in desk.reeve("account", "stop", "desk-a").stdout
    assert "did you mean" in desk.run("account", "start", "desk-x", check=1).stderr
    alarms = desk.reeve("alarm", "ls", "-q").stdout.split()
    assert any("desk-b" in alarm for alarm in alarms), alarms
    alarm = next(alarm for alarm in alarms if "desk-b" in alarm)
    assert "acknowledged by kim" in desk.reeve("alarm", "ack", alarm, "--by", "kim", "--note", "typo").stdout
    assert desk.reeve("alarm", "ls", "--open", "-q").stdout == "" and alarm in desk.reeve("alarm", "ls", "-q").stdout
    file = desk.accounts / "desk-b.yaml"
    file.write_text(ACCOUNT.format(id="desk-b", positions=4))
    (desk.accounts / "desk-c.yaml").write_text(ACCOUNT.format(id="desk-c", positions=3))
    plan = desk.reeve("account", "reload", "--dry-run").stdout
    assert "desk-c: changed" in plan and "not applied" in plan
    assert "applied" in desk.reeve("account", "reload", "--apply").stdout
    assert "no file has changed" in desk.reeve("account", "reload", "--apply").stdout
    assert "stopped" in desk.reeve("account", "stop-all").stdout
    assert {a["state"] for a in desk.json("account", "ls")["accounts"]} <= {"stopped", "created"}
    # The reference to the password is in no answer.
    for arguments in (["account", "show", "desk-a"], ["account", "ls"], ["account", "show", "desk-a", "--json"]):
        assert "/etc/reeve/secrets" not in desk.reeve(*arguments).stdout


# ---- the store ------------------------------------------------------------------------------------------------------


def test_a_backup_is_checked_and_restored(make_site, tmp_path):
    with make_site() as site:
        site.reeve("pool", "apply", "-f", "-", "--wait", input=json.dumps(TRIO))
        path = site.json("manager", "backup")["commands"][0]["result"]["path"]
        assert pathlib.Path(path).stat().st_mode & 0o777 == 0o600
        assert "reads back" in site.reeve("manager", "check").stdout
        assert "reads back" in site.reeve("manager", "check", "--file", path).stdout
        site.reeve("pool", "delete", "trio", "--yes")
        harness.wait_until(lambda: "trio" not in pools(site), 20, "the end of the pool", interval=0.1)
        done = site.run("manager", "restore", path)
        assert done.returncode != 0 and "lock" in done.stderr or "runs" in done.stderr or "holds" in done.stderr, done.stderr
        site.reeve("stop", "manager")
        broken = tmp_path / "broken.db"
        broken.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
        assert site.run("manager", "check", "--file", broken, check=1).stdout == ""
        assert site.run("manager", "restore", broken).returncode != 0
        site.reeve("manager", "restore", path)
        site.reeve("start", "manager")
        wait_ready(site, "trio", 3)

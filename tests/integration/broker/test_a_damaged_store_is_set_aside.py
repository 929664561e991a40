"""reeve-worker-broker: a store that Mosquitto does not read costs the retained records, not the broker; a good store is kept
whatever else goes wrong. It passes signals on, ends as Mosquitto ends, and leaves no orphan."""
import os
import pathlib
import signal
import subprocess

import harness
import pytest

PROGRAM = harness.BIN / "reeve-worker-broker"


@pytest.fixture
def site(make_broker):
    """A broker behind reeve-worker-broker that was stopped with one retained record in its store."""
    broker = make_broker(wrapper=[PROGRAM]).start()
    broker.client("alpha").publish(broker.topic("node/alpha/status"), b"kept", retain=True)
    broker.close_clients()
    assert broker.stop() == 0
    assert b"kept" in broker.store.read_bytes()
    return broker


def aside(broker):
    return sorted(broker.directory.glob("mosquitto.db.damaged-*"))


def retained(broker):
    viewer = broker.client("viewer")
    viewer.subscribe(broker.topic("node/+/status"))
    end = broker.topic("reply/viewer/end")
    viewer.subscribe(end)
    viewer.publish(end)
    viewer.wait_topic(end)
    return [m.payload for m in viewer.messages if m.retain]


def cut_in_half(path):
    os.truncate(path, path.stat().st_size // 2)


def cut_one_byte(path):
    os.truncate(path, path.stat().st_size - 1)


def garbage(path):
    path.write_bytes(b"\xa5" * 4096)


@pytest.mark.parametrize("damage", [cut_in_half, cut_one_byte, garbage])
def test_a_damaged_store_is_set_aside_and_the_broker_starts(site, damage):
    damage(site.store)
    bad = site.store.read_bytes()
    site.start()
    assert [path.read_bytes() for path in aside(site)] == [bad]
    assert retained(site) == []
    assert "set_aside=" in site.log() and "warning" in site.log()
    # and the new store is a good one
    site.client("alpha").publish(site.topic("node/alpha/status"), b"again", retain=True)
    site.close_clients()
    assert site.stop() == 0
    site.start()
    assert retained(site) == [b"again"]
    assert len(aside(site)) == 1


def test_a_good_store_stays(site):
    site.start()
    assert retained(site) == [b"kept"]
    assert aside(site) == []


def test_an_empty_store_is_no_damage(site):
    os.truncate(site.store, 0)
    site.start()
    assert aside(site) == []


def test_three_damaged_stores_are_kept(site):
    for turn in range(5):
        site.store.write_bytes(b"damaged %d" % turn)
        site.start()
        site.stop()
    assert [path.read_bytes() for path in aside(site)] == [b"damaged 2", b"damaged 3", b"damaged 4"]


def fails(broker, code=1):
    """Start it, expecting the end with this code; nothing may have been set aside for good."""
    before = broker.store.read_bytes()
    broker.start(wait=False)
    assert broker.process.wait(harness.DEADLINE) == code
    assert broker.store.read_bytes() == before
    assert aside(broker) == []


def test_a_mistake_in_the_configuration_keeps_a_good_store(site):
    site.conf = {"no_such_option": "true"}
    site.write_files()
    fails(site, 3)
    site.conf = {}
    site.write_files()
    site.start()
    assert retained(site) == [b"kept"]


def test_a_missing_password_file_keeps_a_good_store(site):
    (site.directory / "passwords").unlink()
    fails(site, 13)
    assert "put_back=ok" in site.log()


def test_a_port_that_is_taken_keeps_a_good_store(site, make_broker):
    other = make_broker("other", wrapper=[PROGRAM]).start()
    site.port = other.port
    site.write_files()
    fails(site)


def test_a_program_that_is_not_there_keeps_a_good_store(site):
    site.wrapper = [PROGRAM, "--mosquitto", "/no/such/program"]
    fails(site, 127)
    assert "put_back" not in site.log()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_after_it_listened_keeps_the_store_and_is_passed_on(site, number):
    site.start()
    before = site.store.read_bytes()
    site.signal(number)
    assert site.process.wait(harness.DEADLINE) == -number
    assert site.store.read_bytes() == before and aside(site) == []


def test_term_and_int_stop_it_in_order(site):
    for number in (signal.SIGTERM, signal.SIGINT):
        site.start()
        site.process.send_signal(number)
        assert site.process.wait(harness.DEADLINE) == 0


def test_a_broker_that_forgets_a_stop_is_asked_again(site, tmp_path):
    """Mosquitto listens before it minds SIGTERM, and loses one in a few dozen that come right after its start."""
    forgetful = tmp_path / "forgetful"
    forgetful.write_text("#!/bin/sh\nasked=0\ntrap 'asked=$((asked+1))' TERM\n"
                         "echo up >&2\nwhile [ $asked -lt 2 ]; do sleep 0.05; done\nexit 7\n")
    forgetful.chmod(0o700)
    process = subprocess.Popen([PROGRAM, "--config", site.config, "--mosquitto", forgetful], stderr=subprocess.PIPE)
    assert process.stderr.readline() == b"up\n"
    process.terminate()
    assert process.wait(harness.DEADLINE) == 7
    process.stderr.close()
    assert aside(site) == []


def test_hup_reloads_rights(site):
    site.start()
    admin, viewer = site.client("admin"), site.client("viewer")
    admin.subscribe(site.topic("node/+/cmd/+"))
    site.extra_acl = f"\nuser viewer\ntopic write {site.topic('node/alpha/cmd/stop')}\n"
    site.write_files()
    site.process.send_signal(signal.SIGHUP)

    def delivered():
        viewer.publish(site.topic("node/alpha/cmd/stop"))
        return admin.of(site.topic("node/alpha/cmd/stop"))
    harness.wait_until(delivered, what="the new right")


def test_no_orphan_holds_the_port_when_it_is_killed(site):
    site.start()
    mosquitto = site.pid
    site.process.kill()
    site.process.wait()
    harness.wait_until(lambda: not pathlib.Path(f"/proc/{mosquitto}/stat").exists()
                       or pathlib.Path(f"/proc/{mosquitto}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z",
                       what="end of mosquitto")
    site.start()


def test_its_supervisor_hears_that_it_is_ready(site):
    """After it listens, not before; and the descriptor does not go on to Mosquitto."""
    read, write = os.pipe()
    os.set_inheritable(write, True)
    process = subprocess.Popen([PROGRAM, "--config", site.config], pass_fds=[write], stderr=subprocess.DEVNULL,
                               env={**os.environ, "REEVE_NOTIFY_FD": str(write)})
    try:
        os.close(write)
        assert os.read(read, 64) == b"READY=1\n"
        site.process = process
        viewer = site.client("viewer")
        assert viewer.lost is None
        descriptors = {os.readlink(f"/proc/{site.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{site.pid}/fd")}
        assert f"pipe:[{os.fstat(read).st_ino}]" not in descriptors
    finally:
        process.terminate()
        process.wait()
        os.close(read)


def test_options_are_checked():
    def run(*options):
        done = subprocess.run([PROGRAM, *options], capture_output=True, text=True, timeout=harness.DEADLINE, check=False)
        return done.returncode, done.stdout, done.stderr
    assert run("--help")[0] == 0 and "--config" in run("--help")[1]
    assert run("--version")[0] == 0
    assert run()[0] == 2 and run("--config", "x", "y")[0] == 2 and run("--nonsense")[0] == 2
    code, _, text = run("--config", "/no/such/file")
    assert code == 1 and "/no/such/file" in text

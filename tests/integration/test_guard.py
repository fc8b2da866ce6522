#!/usr/bin/python3
"""omd-guard with real processes: who feeds it is stopped or killed while instances live.

guard_feeder stands in omd's place: it starts the guard, renews, and does what its standard input says. Bounds
are for hopeless cases; how long it took is printed as seen and checked by nobody.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import BIN, read_bytes, wait_for  # noqa: E402

# Long enough for a loaded machine to renew ten times in, short enough to wait for.
LEASE_MS = 4000
LONG_LEASE_MS = 300000

# What an application may do to get away. Everything ends by itself once the folder is gone.
PLAIN = "while [ -e {folder} ]; do sleep 1; done"
APPLICATION = """
trap '' TERM INT HUP QUIT
setsid sh -c 'trap "" TERM HUP; while [ -e {folder} ]; do sleep 1; done' &
(setsid sh -c '(while [ -e {folder} ]; do sleep 1; done) &' &)
env -i setsid sh -c 'PATH=/usr/bin:/bin; while [ -e {folder} ]; do sleep 1; done' &
touch {folder}/ready-$1
while [ -e {folder} ]; do sleep 1; done
"""
# Forks on and on: a hundred that stay, and a chain of which each lives only to start the next.
BOMB = """
n=0
while [ $n -lt 100 ]; do
  (while [ -e {folder} ]; do sleep 1; done) &
  n=$((n + 1))
done
touch {folder}/ready-$1
exec sh {folder}/hop
"""
HOP = "[ -e {folder} ] || exit\nsetsid sh {folder}/hop > /dev/null 2>&1 &\n"


def living_with(variable):
    """Pids of living processes that have `variable`, "NAME=value", in their environment."""
    wanted = variable.encode()
    found = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if wanted not in read_bytes("/proc/%s/environ" % name).split(b"\0"):
                continue
            if read_bytes("/proc/%s/stat" % name).rpartition(b")")[2].split()[0] not in b"ZX":
                found.add(int(name))
        except (OSError, IndexError):
            continue
    return found


def lives(pid):
    try:
        return read_bytes("/proc/%d/stat" % pid).rpartition(b")")[2].split()[0] not in b"ZX"
    except (OSError, IndexError):
        return False


class Feeder:
    def __init__(self, test, lease_ms, *options):
        self.process = subprocess.Popen(
            [os.path.join(BIN, "guard_feeder"), test.folder, os.path.join(BIN, "omd-guard"),
             str(lease_ms), *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            start_new_session=True)
        test.addCleanup(self.end)
        self.how = self.process.stdout.readline().strip()

    def say(self, line):
        self.process.stdin.write(line + "\n")
        return self.process.stdout.readline().strip()

    def status(self):
        words = self.say("status").split()
        return dict(zip(words[::2], map(int, words[1::2])))

    def signal(self, number):
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class GuardTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="om-guard-")
        self.started = []
        self.addCleanup(self.clean_up)
        with open(os.path.join(self.folder, "hop"), "w", encoding="ascii") as stream:
            stream.write(HOP.format(folder=self.folder))

    def clean_up(self):
        for process in self.started:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        # It stays as long as it watches. The log is there if it ever ran.
        guard = self.guard_pid()
        if guard and lives(guard):
            os.kill(guard, signal.SIGKILL)
        shutil.rmtree(self.folder)

    def guard_log(self):
        path = os.path.join(self.folder, "guard.log")
        return read_bytes(path).decode() if os.path.exists(path) else ""

    def guard_pid(self):
        lines = [line for line in self.guard_log().splitlines() if "as process" in line]
        return int(lines[-1].split()[-1]) if lines else None

    def start(self, script, name=None):
        """An instance running `script`; returns its id. It is ready."""
        instance = "%s-%s" % (name or "svc", uuid.uuid4())
        self.run_as(instance, script)
        return instance

    def run_as(self, instance, script, until_ready=True):
        mark = uuid.uuid4().hex
        if "ready-" not in script:
            script = "touch {folder}/ready-$1\n" + script
        process = subprocess.Popen(
            ["sh", "-c", script.format(folder=self.folder), "app", mark],
            env={"PATH": "/usr/bin:/bin", "OPENSVC_SVC_ID": instance, "OPENSVC_RID": "app#1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        self.started.append(process)
        if until_ready:
            ready = os.path.join(self.folder, "ready-" + mark)
            wait_for(lambda: os.path.exists(ready), "the instance runs")
        return process

    def living(self, instance):
        return living_with("OPENSVC_SVC_ID=" + instance)

    def watch(self, feeder, *instances):
        self.assertEqual(feeder.say("renew"), "ok")
        for instance in instances:
            self.assertEqual(feeder.say("watch " + instance), "ok")

    def wait_dead(self, *instances):
        for instance in instances:
            wait_for(lambda instance=instance: not self.living(instance), "%s is dead" % instance)

    def attach(self, lease_ms=LONG_LEASE_MS):
        """A new omd, after whatever happened to the one before."""
        feeder = Feeder(self, lease_ms)
        self.assertEqual(feeder.how, "found")
        return feeder

    def report(self, status):
        print("%s: last process dead %.1f ms after may_act_until (killing took %.1f ms, %d kills)" % (
            self.id().rpartition(".")[2], (status["done_ns"] - status["until_ns"]) / 1e6,
            (status["done_ns"] - status["fired_ns"]) / 1e6, status["killed"]), flush=True)

    def test_a_stopped_feeder_loses_its_instances_and_is_told(self):
        feeder = Feeder(self, LEASE_MS)
        self.assertEqual(feeder.how, "started")
        application = self.start(APPLICATION)
        bomb = self.start(BOMB)
        stranger = self.start(PLAIN)
        clean = self.descendants_without_environment()
        self.assertTrue(clean)
        self.watch(feeder, application, bomb)
        feeder.signal(signal.SIGSTOP)
        self.wait_dead(application, bomb)
        wait_for(lambda: not any(map(lives, clean)), "those that dropped the environment, too")
        self.assertTrue(self.living(stranger))
        watcher = self.attach()
        status = watcher.status()
        self.assertEqual(status["survivors"], 0)
        self.assertGreaterEqual(status["killed"], 100)
        self.assertGreaterEqual(status["fired_ns"], status["until_ns"])
        self.report(status)
        # Awake again, it cannot go on as if nothing had been: its renewal is refused.
        feeder.signal(signal.SIGCONT)
        wait_for(lambda: "GUARD_FIRED" in feeder.say("renewed"), "it is told")
        self.assertIn("GUARD_FIRED", feeder.say("watch " + application))

    def descendants_without_environment(self):
        """Those that `env -i` made: they are known by their command line alone."""
        found = set()
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                words = read_bytes("/proc/%s/cmdline" % name)
                if self.folder.encode() in words and b"PATH=/usr/bin" in words.split(b"\0")[2] \
                        and b"OPENSVC" not in read_bytes("/proc/%s/environ" % name):
                    found.add(int(name))
            except (OSError, IndexError):
                continue
        return found

    def test_a_killed_feeder_loses_its_instances_when_its_time_is_up(self):
        feeder = Feeder(self, LEASE_MS)
        application = self.start(APPLICATION)
        self.watch(feeder, application)
        feeder.signal(signal.SIGKILL)
        self.wait_dead(application)
        status = self.attach().status()
        self.assertGreaterEqual(status["fired_ns"], status["until_ns"])
        self.assertEqual(status["survivors"], 0)
        self.report(status)

    def test_renewals_keep_instances_alive(self):
        feeder = Feeder(self, LEASE_MS)
        application = self.start(APPLICATION)
        before = self.living(application)
        self.watch(feeder, application)
        first = feeder.status()["until_ns"]
        wait_for(lambda: feeder.status()["until_ns"] > first + 3 * LEASE_MS * 1000000,
                 "three leases have passed")
        self.assertEqual(feeder.say("renewed"), "ok")
        self.assertEqual(feeder.status()["fired_ns"], 0)
        self.assertTrue(all(lives(pid) for pid in before if pid == self.started[-1].pid))
        self.assertTrue(self.living(application))

    def test_a_new_feeder_goes_on_where_a_killed_one_was(self):
        feeder = Feeder(self, LEASE_MS)
        application = self.start(APPLICATION)
        guard = self.guard_pid()
        self.watch(feeder, application)
        for _ in range(3):
            feeder.signal(signal.SIGKILL)
            feeder = self.attach(LEASE_MS)
            self.assertEqual(feeder.say("renew"), "ok")
            self.assertEqual(feeder.say("list"), "list " + application)
        self.assertEqual(self.guard_pid(), guard)
        first = feeder.status()["until_ns"]
        wait_for(lambda: feeder.status()["until_ns"] > first + 2 * LEASE_MS * 1000000,
                 "two leases have passed")
        self.assertEqual(feeder.status()["fired_ns"], 0)
        self.assertTrue(lives(self.started[-1].pid))

    def test_what_was_released_is_left_alone(self):
        feeder = Feeder(self, LEASE_MS)
        kept, released = self.start(PLAIN), self.start(PLAIN)
        self.watch(feeder, kept, released)
        self.assertEqual(feeder.say("release " + released), "ok")
        feeder.signal(signal.SIGSTOP)
        self.wait_dead(kept)
        self.assertEqual(self.attach().status()["survivors"], 0)
        self.assertTrue(self.living(released))

    def test_what_comes_back_is_killed_until_somebody_holds_a_new_lease(self):
        feeder = Feeder(self, LEASE_MS)
        instance = self.start(PLAIN)
        self.watch(feeder, instance)
        feeder.signal(signal.SIGSTOP)
        self.wait_dead(instance)
        # It may be dead before it has done anything.
        back = self.run_as(instance, PLAIN, until_ready=False)
        wait_for(lambda: not lives(back.pid), "what came back is dead")
        new = self.attach()
        self.assertEqual(new.say("renew"), "ok")
        self.assertEqual(new.say("list"), "list " + instance)
        process = self.run_as(instance, PLAIN)
        # The guard has looked at the time again by then, and found it in the future.
        self.assertEqual(new.say("release " + instance), "ok")
        self.assertTrue(lives(process.pid))

    def test_a_command_that_acts_on_the_instance_is_killed_by_its_group(self):
        feeder = Feeder(self, LEASE_MS)
        instance = "svc-%s" % uuid.uuid4()
        # As an omd that runs a resource manager: nothing in its environment says whose it is.
        command = self.run_as("", "sleep 1000 & " + PLAIN)
        start = int(read_bytes("/proc/%d/stat" % command.pid).rpartition(b")")[2].split()[19])
        self.assertEqual(feeder.say("renew"), "ok")
        self.assertEqual(feeder.say("watch %s %d %d" % (instance, command.pid, start)), "ok")
        feeder.signal(signal.SIGKILL)
        wait_for(lambda: not lives(command.pid), "the command is dead")

    def test_the_guard_is_locked_protected_and_alone(self):
        feeder = Feeder(self, LONG_LEASE_MS)
        guard = self.guard_pid()
        second = subprocess.run([os.path.join(BIN, "omd-guard"), "--folder", self.folder],
                                stderr=subprocess.PIPE, check=False)
        self.assertEqual(second.returncode, 3, second.stderr)
        feeder.signal(signal.SIGKILL)
        self.assertTrue(lives(guard))
        log = self.guard_log()
        self.assertIn("memory ", log)
        print("guard:", "; ".join(log.splitlines()), flush=True)

    def test_command_lines_that_make_no_sense_are_refused(self):
        for arguments in ([], ["--folder"], ["--folder", self.folder, "--split-action", "panic"],
                          ["--folder", self.folder, "--kill-bound-ms", "0"],
                          ["--folder", self.folder, "--kill-bound-ms", "1x"],
                          ["--folder", self.folder, "--ready-fd", "0"], ["--folder", "/nowhere/x"],
                          ["--folder", self.folder, "more"]):
            done = subprocess.run([os.path.join(BIN, "omd-guard"), *arguments],
                                  stderr=subprocess.PIPE, check=False, timeout=60)
            self.assertIn(done.returncode, (1, 2), arguments)
            self.assertTrue(done.stderr)
        self.assertEqual(self.guard_log(), "")


if __name__ == "__main__":
    unittest.main()

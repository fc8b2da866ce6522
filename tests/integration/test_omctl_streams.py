#!/usr/bin/python3
"""omctl on what streams: actions, logs, events and waiting, against the real daemon."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import App, OmdTestCase, wait_for  # noqa: E402

DONE, ERROR, USAGE, DEADLINE = 0, 1, 2, 4
ACTION_ERROR = 120  # Added to these where small statuses are those of actions.
# Of what runs to its end: a bound for a hopeless case.
SECONDS = 250
PATIENT = ("--connect-timeout", "4m")

# A resource manager that does odd things for odd words, and is the built-in one for all others.
CRM = r"""#!/bin/sh
path_arguments=
[ "$1" = -s ] && path_arguments="-s $2" && shift 2
case "$1" in
both) echo out; echo err >&2; exit "$2" ;;
bytes) printf '\377\376\000\201'; printf '\303\050' >&2 ;;
step) echo one; until [ -e "%(here)s/$2" ]; do sleep 0.02; done; echo two; exit 5 ;;
words) printf '[%%s]\n' "$@" ;;
flood) exec head -c 20000000 /dev/zero ;;
signal) kill -"$2" $$ ;;
input) exec cat ;;
*) exec %(omcrm)s $path_arguments "$@" ;;
esac
"""


def line(number, level="INFO"):
    return "2026-11-22 %02d:%02d:%02d,000 - node1.svc1.app#1 - %s - line %d\n" % (
        number // 3600, number // 60 % 60, number % 60, level, number)


class Running:
    """An omctl that runs; what it writes is collected."""

    def __init__(self, omd, *arguments):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            [omd.program("omctl"), "--root", omd.root, *PATIENT, *arguments], env=omd.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.out = b""
        self.err = b""
        self.threads = [threading.Thread(target=self._collect, args=(name,), daemon=True)
                        for name in ("out", "err")]
        for thread in self.threads:
            thread.start()

    def _collect(self, name):
        stream = self.process.stdout if name == "out" else self.process.stderr
        while True:
            data = os.read(stream.fileno(), 65536)
            if not data:
                return
            setattr(self, name, getattr(self, name) + data)

    def wait_out(self, text):
        wait_for(lambda: text in self.out,
                 lambda: "%r in %r; errors: %r" % (text, self.out[-2000:], self.err))

    def wait_err(self, text):
        wait_for(lambda: text in self.err, lambda: "%r in %r" % (text, self.err))

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Its exit code."""
        code = self.process.wait(SECONDS)
        for thread in self.threads:
            thread.join()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        self.process.stdout.close()
        self.process.stderr.close()


class OmctlStreamsCase(OmdTestCase):
    @classmethod
    def prepare(cls, omd):
        cls.app = App(omd, "svc1")
        omd.write_service("quiet", {"fs#1": {"type": "flag"}})
        crm = os.path.join(omd.root, "crm.sh")
        with open(crm, "w", encoding="utf-8") as stream:
            stream.write(CRM % {"here": omd.root, "omcrm": omd.program("omcrm")})
        os.chmod(crm, stat.S_IRWXU)
        omd.node_conf["crm"] = {"command": crm, "node_command": crm}
        omd.write_node_conf()

    def setUp(self):
        self.wait_known(self.omd)

    @staticmethod
    def wait_known(omd):
        for path in ("svc1", "quiet"):
            wait_for(lambda path=path: omd.instance(path), "%s is known" % path)

    def run_bytes(self, *arguments, check=DONE):
        """Runs omctl to its end. Its outputs are bytes."""
        running = self.running(*arguments)
        code = running.end()
        self.assertEqual(code, check, (arguments, running.out[-2000:], running.err[-2000:]))
        return running

    def run_out_of_time(self, *arguments, said=b"", check=DEADLINE):
        """Runs omctl with a time in the place of None that is over before it is done.

        A short one, unless that is over even before it is connected.
        """
        for seconds in ("0.3s", "3s", "30s", "60s"):
            done = self.running(*(seconds if word is None else word for word in arguments))
            code = done.end()
            if code == check and said in done.err:
                break
        self.assertEqual(code, check, done.err)
        self.assertIn(said, done.err)
        return done

    def running(self, *arguments, omd=None):
        running = Running(omd or self.omd, *arguments)
        self.addCleanup(running.close)
        return running

    def go(self, name):
        with open(os.path.join(self.omd.root, name), "w", encoding="ascii"):
            pass

    def actions(self, *arguments):
        return json.loads(self.run_bytes("actions", "list", "--json", *arguments).out)["actions"]

    def action_states(self, action_id):
        return json.loads(self.run_bytes("actions", "show", action_id, "--json").out)["state"]


class ActionsTest(OmctlStreamsCase):
    OMD = {}

    def setUp(self):
        super().setUp()
        # Not those of the test before.
        wait_for(lambda: not self.actions("--running"), "no action runs")

    def test_outputs_and_exit_code_are_those_of_the_action(self):
        done = self.run_bytes("svc1", "both", "7", check=7)
        self.assertEqual((done.out, done.err), (b"out\n", b"err\n"))
        done = self.run_bytes("svc1", "bytes")
        self.assertEqual((done.out, done.err), (b"\xff\xfe\0\x81", b"\xc3("))
        done = self.run_bytes("node", "action", "both", "0")
        self.assertEqual((done.out, done.err), (b"out\n", b"err\n"))
        self.assertEqual(len(self.run_bytes("svc1", "flood").out), 20000000)

    def test_words_reach_the_action_as_they_are(self):
        words = ["--rid", "app#1", "--help", "--json", "-o", "", "a  b", "$HOME", "--"]
        expected = "".join("[%s]\n" % word for word in ["words"] + words).encode()
        for spelling in (["svc1", "words"], ["svc1", "action", "words"], ["svc1", "--", "words"],
                         ["node", "action", "words"], ["node", "--", "words"]):
            # An action on an instance is told to stay on this node.
            local = b"" if spelling[0] == "node" else b"[--local]\n"
            self.assertEqual(self.run_bytes(*spelling, *words).out, expected + local, spelling)

    def test_standard_input_is_given_if_asked_for(self):
        for data, code in ((b"a\xff\0b", DONE), (b"x" * (60 << 10), DONE),
                           (b"x" * ((60 << 10) + 1), ACTION_ERROR + ERROR)):
            done = subprocess.run(
                [self.omd.program("omctl"), "--root", self.omd.root, *PATIENT, "svc1", "--stdin",
                 "input"], env=self.omd.environment, input=data, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, timeout=SECONDS, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertEqual(done.stdout, data if code == DONE else b"")
        self.assertEqual(self.run_bytes("svc1", "input").out, b"")

    def test_the_built_in_manager_starts_a_resource_here(self):
        self.omd.wait_instance("svc1", "down")
        self.run_bytes("svc1", "action", "start", "--local")
        self.omd.wait_instance("svc1", "up")
        self.run_bytes("svc1", "action", "stop", "--local")
        self.omd.wait_instance("svc1", "down")

    def test_ends_that_are_no_exit_have_statuses_of_their_own(self):
        self.run_bytes("svc1", "signal", "KILL", check=128 + signal.SIGKILL)
        self.run_out_of_time("--timeout", None, "svc1", "step", "never", said=b"time limit",
                             check=ACTION_ERROR + DEADLINE)
        self.assertIn(b"nope", self.run_bytes("nope", "both", check=ACTION_ERROR + ERROR).err)
        self.run_bytes("svc1", "action", check=USAGE)

    def test_interrupt_kills_the_action(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            running = self.running("svc1", "step", "never-%d" % number)
            running.wait_out(b"one\n")
            (action,) = self.actions("--running", "--path", "svc1")
            running.signal(number)
            self.assertEqual(running.end(), 128 + number)
            self.assertIn(action["id"].encode(), running.err)
            wait_for(lambda: self.action_states(action["id"]) == "ACTION_STATE_KILLED",  # noqa: B023
                     "the action is killed")

    def test_detached_action_goes_on_and_is_attached_to(self):
        running = self.running("svc1", "action", "--detach", "step", "go-detached")
        running.wait_out(b"one\n")
        (action,) = self.actions("--running", "--path", "svc1")
        running.signal(signal.SIGINT)
        self.assertEqual(running.end(), 128 + signal.SIGINT)
        self.assertIn(b"omctl actions attach " + action["id"].encode(), running.err)
        attached = self.running("actions", "attach", action["id"])
        attached.wait_out(b"one\n")
        self.go("go-detached")
        self.assertEqual(attached.end(), 5)
        self.assertEqual(attached.out, b"one\ntwo\n")
        self.assertEqual(self.run_bytes("actions", "attach", action["id"], check=5).out,
                         b"one\ntwo\n")

    def test_asynchronous_action_is_listed_and_killed(self):
        action_id = self.run_bytes("svc1", "action", "--async", "step", "never").out.decode().strip()
        self.assertIn(action_id, [action["id"] for action in self.actions("--running")])
        self.assertIn(action_id.encode(), self.run_bytes("actions", "list").out)
        self.assertIn(b"step never", self.run_bytes("actions", "show", action_id).out)
        attached = self.running("actions", "attach", action_id)
        attached.wait_out(b"one\n")
        self.run_bytes("actions", "kill", action_id, "--signal", "KILL")
        self.assertEqual(attached.end(), 128 + signal.SIGKILL)
        self.run_bytes("actions", "kill", action_id, check=ERROR)
        self.run_bytes("actions", "show", "nonsense", check=ERROR)

    def test_closed_output_ends_omctl_quietly_and_the_action_too(self):
        done = subprocess.run(
            "%s --root %s %s svc1 flood | head -c 10 | wc -c; exit ${PIPESTATUS[0]}" % (
                self.omd.program("omctl"), self.omd.root, " ".join(PATIENT)), shell=True,
            executable="/bin/bash", env=self.omd.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=SECONDS, check=False)
        self.assertEqual((done.stdout, done.stderr), (b"10\n", b""))
        self.assertEqual(done.returncode, 128 + signal.SIGPIPE)
        wait_for(lambda: not self.actions("--running"), "no action runs")

    def test_services_are_created_from_files_and_keywords(self):
        path = os.path.join(self.omd.root, "new.json")
        with open(path, "w", encoding="utf-8") as stream:
            json.dump({"new1": {"fs#1": {"type": "flag"}}, "ns1/svc/new2": {}}, stream)
        self.assertIn(b"new1, ns1/svc/new2", self.run_bytes("create", path).out)
        wait_for(lambda: self.omd.instance("new1"), "new1 is known")
        self.assertIn(b"flag", self.run_bytes("config", "get", "new1").out)
        done = self.run_bytes("new1", "create", "--kw", "fs#2.type=flag", check=ERROR)
        self.assertIn(b"--replace", done.err)
        self.run_bytes("new1", "create", "--kw", "fs#2.type=flag", "--replace")
        self.assertIn(b"fs#2", self.run_bytes("config", "get", "new1").out)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write("[fs#1]\ntype = flag\n[app#1]\nstart = nonsense = 1\nrestart = many\n")
        done = self.run_bytes("new3", "create", "--file", path, check=ERROR)
        self.assertIn(b"restart", done.err)
        self.run_bytes("config", "get", "new3", check=ERROR)


class EventsTest(OmctlStreamsCase):
    OMD = {}

    def touch_until(self, running, text, omd=None):
        """Changes node.conf until a watch has told of it: it may not be open yet."""
        omd = omd or self.omd

        def told():
            omd.touch(omd.node_conf_path)
            return text in running.out
        wait_for(told, lambda: "%r in %r; errors: %r" % (text, running.out, running.err),
                 interval=0.3)

    def test_events_are_shown_as_they_happen_and_resumed(self):
        running = self.running("events", "--id", "node_config_*", "--node", "node1")
        self.touch_until(running, b"node_config_change on node1")
        running.signal(signal.SIGINT)
        running.end()
        running = self.running("events", "--json", "--count", "1", "--id", "node_config_*")
        self.touch_until(running, b"node_config_change")
        self.assertEqual(running.end(), DONE)
        token = json.loads(running.out.splitlines()[-1])["resumeToken"]
        # Happens while nobody looks.
        self.omd.touch(self.omd.node_conf_path)
        done = self.run_bytes("events", "--since-token", token, "--count", "1", "--id",
                              "node_config_*", "--timeout", str(SECONDS))
        self.assertIn(b"node_config_change", done.out)
        self.assertNotIn(b"gap", done.err)
        done = self.run_out_of_time("events", "--object", "nothing*", "--timeout", None)
        self.assertEqual(done.out, b"")

    def test_restart_of_the_daemon_is_told_as_a_gap(self):
        omd = self.start_omd(prepare=self.prepare)
        self.wait_known(omd)
        running = self.running("events", "--id", "node_config_*", omd=omd)
        self.touch_until(running, b"node_config_change", omd)
        omd.terminate()
        omd.start()
        running.wait_err(b"gap")
        before = running.out.count(b"\n")
        wait_for(lambda: (omd.touch(omd.node_conf_path), running.out.count(b"\n") > before)[1],
                 lambda: "events after the restart: %r" % running.err, interval=0.3)

    def test_wait_ends_when_it_is_so(self):
        self.omd.wait_instance("svc1", "down")
        self.assertIn(b"down", self.run_bytes("svc1", "wait", "avail=down").out)
        self.assertIn(b"idle", self.run_bytes("wait", "nodes.node1.monitor.status=idle").out)
        self.run_out_of_time("svc1", "wait", "avail=up", "--timeout", None, said=b"down")
        running = self.running("svc1", "wait", "avail=up", "--timeout", "4m")
        self.run_bytes("svc1", "start")
        self.assertEqual(running.end(), DONE, running.err)
        self.run_bytes("svc1", "stop")
        self.run_bytes("svc1", "wait", "avail=down", "--timeout", "4m")
        done = self.run_bytes("wait", "nonsense=1", check=ERROR)
        self.assertIn(b"nonsense", done.err)


class LogsTest(OmctlStreamsCase):
    OMD = {}

    def setUp(self):
        super().setUp()
        self.omd.wait_instance("quiet", "down")
        self.path = os.path.join(self.omd.log, "quiet.log")
        for name in os.listdir(self.omd.log):
            if name.startswith("quiet.log"):
                os.unlink(os.path.join(self.omd.log, name))

    def write(self, *lines):
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write("".join(lines))

    def test_log_is_shown_in_parts_and_whole(self):
        lines = [line(number, "ERROR" if number % 10 == 0 else "INFO") for number in range(1000)]
        self.write(*lines)
        whole = "".join(lines).encode()
        self.assertEqual(self.run_bytes("quiet", "logs", "--all").out, whole)
        self.assertEqual(self.run_bytes("quiet", "logs", "--all", "--raw").out, whole)
        self.assertEqual(self.run_bytes("quiet", "logs", "-n", "2").out,
                         "".join(lines[-2:]).encode())
        self.assertEqual(self.run_bytes("quiet", "logs", "--level", "error").out,
                         "".join(lines[::10]).encode())
        self.assertEqual(self.run_bytes("quiet", "logs", "--grep", "line 77").out,
                         "".join(text for text in lines if "line 77" in text).encode())
        self.assertEqual(self.run_bytes("quiet", "logs", "--rid", "app#2").out, b"")
        entries = [json.loads(text) for text in
                   self.run_bytes("quiet", "logs", "--json", "-n", "3").out.splitlines()]
        self.assertEqual([entry["message"] for entry in entries],
                         ["line 997", "line 998", "line 999"])
        self.assertEqual(entries[0]["resourceId"], "app#1")
        self.assertIn(b"node1", self.run_bytes("node", "logs").out)

    def test_follow_goes_on_across_rotation_and_restarts_of_the_daemon(self):
        omd = self.start_omd(prepare=self.prepare)
        self.wait_known(omd)
        path = os.path.join(omd.log, "quiet.log")
        omd.wait_instance("quiet", "down")
        if os.path.exists(path):
            os.unlink(path)

        def write(first, last):
            with open(path, "a", encoding="utf-8") as stream:
                stream.write("".join(line(number) for number in range(first, last)))

        write(0, 10)
        running = self.running("quiet", "logs", "--follow", "--all", "--grep", "line", omd=omd)
        running.wait_out(b"line 9\n")
        os.rename(path, path + ".1")
        write(10, 20)
        running.wait_out(b"line 19\n")
        omd.terminate()
        write(20, 30)
        omd.start()
        running.wait_out(b"line 29\n")
        write(30, 40)
        running.wait_out(b"line 39\n")
        running.signal(signal.SIGINT)
        running.end()
        self.assertEqual(running.out, "".join(line(number) for number in range(40)).encode())
        self.assertNotIn(b"gap", running.err)
        self.assertIn(b"trying again", running.err)

    def test_closed_output_ends_the_reading_quietly(self):
        self.write(*(line(number) for number in range(30000)))
        done = subprocess.run(
            "%s --root %s %s quiet logs --all | head -n 1; exit ${PIPESTATUS[0]}" % (
                self.omd.program("omctl"), self.omd.root, " ".join(PATIENT)), shell=True,
            executable="/bin/bash", env=self.omd.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=SECONDS, check=False)
        self.assertEqual((done.stdout, done.stderr), (line(0).encode(), b""))
        self.assertEqual(done.returncode, 128 + signal.SIGPIPE)

    def test_log_that_is_not_there_is_an_error_unless_it_is_followed(self):
        done = self.run_bytes("quiet", "logs", check=ERROR)
        self.assertIn(b"LOG_NOT_FOUND", done.err)
        running = self.running("quiet", "logs", "--follow")
        self.write(line(1))
        running.wait_out(b"line 1\n")


if __name__ == "__main__":
    unittest.main()

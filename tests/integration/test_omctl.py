#!/usr/bin/python3
"""Every command of omctl against the real daemon: output, JSON and exit codes."""

import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import (CLUSTER, SECRET, App, Omd, OmdTestCase, Process, legacy,  # noqa: E402
                     wait_for)

DONE, ERROR, USAGE, NO_CONNECTION = 0, 1, 2, 3
# Exit codes of `<svc> status`, as those of the legacy command line.
UP, DOWN = 0, 1


class OmctlTest(OmdTestCase):
    OMD = {}

    @classmethod
    def prepare(cls, omd):
        cls.app = App(omd, "svc1")

    def run_omctl(self, *arguments, check=DONE):
        return self.omd.omctl(*arguments, check=check).stdout

    def run_json(self, *arguments, check=DONE):
        return json.loads(self.run_omctl(*arguments, "-o", "json", check=check))

    def test_daemon_status_as_table_and_json(self):
        self.omd.wait_instance("svc1", "down")
        text = self.run_omctl("daemon", "status")
        for word in (CLUSTER, "node1", "listener", "monitor", "scheduler", "svc1", "running"):
            self.assertIn(word, text)
        self.assertNotIn("\x1b", text, "colours are for terminals")
        value = self.run_json("daemon", "status")
        self.assertEqual(value["cluster"]["name"], CLUSTER)
        self.assertIn("svc1", [item["path"] for item in value["objects"]])

    def test_daemon_stats(self):
        self.assertIn("listener", self.run_omctl("daemon", "stats"))
        self.assertIn("counters", self.run_json("daemon", "stats"))

    def test_threads_are_stopped_and_started(self):
        self.run_omctl("daemon", "stop", "--thread-id", "scheduler", "--wait")
        self.assertEqual(self.omd.status()["scheduler"]["state"], "stopped")
        self.assertIn("stopped", self.run_omctl("daemon", "threads"))
        self.run_omctl("health")
        self.run_omctl("health", "scheduler", check=ERROR)
        self.run_omctl("daemon", "stop", "--thread-id", "scheduler")
        self.run_omctl("daemon", "start", "--thread-id", "scheduler")
        wait_for(lambda: self.omd.status()["scheduler"]["state"] == "running", "it runs")
        for command in ("stop", "start"):
            done = self.omd.omctl("daemon", command, "--thread-id", "foo", check=ERROR)
            for word in ("foo", "listener", "monitor", "scheduler"):
                self.assertIn(word, done.stderr)

    def test_start_of_a_running_daemon_says_so(self):
        done = self.omd.omctl("daemon", "start", check=DONE)
        self.assertIn("already", done.stdout + done.stderr)
        self.assertTrue(self.omd.running())

    def test_the_blacklist_is_shown_and_cleared(self):
        self.omd.clear_blacklist()
        for _ in range(2):
            self.omd.packet().raw(legacy.seal({}, SECRET[::-1], CLUSTER, "node1") + b"\0")
        self.assertIn("127.0.0.1", self.run_omctl("blacklist", "status"))
        self.assertIn("127.0.0.1", json.dumps(self.run_json("blacklist", "status")))
        self.run_omctl("blacklist", "clear")
        self.assertEqual(self.omd.blacklist(), {})
        self.assertNotIn("127.0.0.1", self.run_omctl("blacklist", "status"))

    def test_node_keywords_are_set_read_and_unset(self):
        self.run_omctl("node", "set", "--param", "labels.room", "--value", "a 1")
        self.assertEqual(self.run_omctl("node", "get", "--param", "labels.room").strip(), "a 1")
        self.assertEqual(self.run_omctl("node", "get", "--param", "node.env").strip(), "TST")
        self.run_omctl("node", "unset", "--param", "labels.room")
        self.omd.omctl("node", "get", "--param", "node.nonsense", check=ERROR)
        done = self.omd.omctl("node", "set", "--param", "node.env", "--value", "BOGUS", check=ERROR)
        for word in ("node.env", "BOGUS", "TST"):
            self.assertIn(word, done.stderr)

    def test_config_get_prints_a_file(self):
        with open(self.omd.node_conf_path, encoding="utf-8") as stream:
            self.assertEqual(self.run_omctl("config", "get", "node").strip(),
                             stream.read().strip())
        self.assertIn("[app#1]", self.run_omctl("config", "get", "svc1"))
        self.omd.omctl("config", "get", "nope", check=ERROR)

    def test_a_service_is_started_shown_stopped_and_cleared(self):
        self.omd.wait_instance("svc1", "down")
        self.run_omctl("svc1", "status", check=DOWN)
        self.run_omctl("svc1", "start", "--wait", "--timeout", "60")
        self.omd.wait_instance("svc1", "up")
        text = self.run_omctl("svc1", "status", check=UP)
        for word in ("svc1", "app#1", "up"):
            self.assertIn(word, text)
        self.assertEqual(self.run_json("svc1", "status", check=UP)["path"], "svc1")
        self.run_omctl("svc1", "stop")
        self.omd.wait_instance("svc1", "down")
        self.run_omctl("svc1", "status", check=DOWN)
        self.run_omctl("svc1", "clear")
        self.assertEqual(self.app.starts(), 1)
        for command in ("start", "stop", "clear", "freeze", "thaw"):
            done = self.omd.omctl("nope", command, check=ERROR)
            self.assertIn("nope", done.stderr)
        # Told apart from the state `down`, which is 1.
        self.run_omctl("nope", "status", check=10 + ERROR)

    def test_a_service_is_frozen_and_thawed(self):
        self.run_omctl("svc1", "freeze", "--wait", "--timeout", "60")
        self.assertGreater(self.omd.instance("svc1")["frozen"], 0)
        self.run_omctl("svc1", "thaw", "--wait", "--timeout", "60")
        self.assertEqual(self.omd.instance("svc1")["frozen"], 0)

    def test_watch_tells_of_changes(self):
        process = subprocess.Popen(
            [self.omd.program("omctl"), "--root", self.omd.root, "daemon", "watch",
             "-o", "json"], env=self.omd.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8")
        try:
            self.assertTrue(json.loads(process.stdout.readline()))
            self.omd.touch(self.omd.node_conf_path)
            for line in process.stdout:
                if "node_config_change" in line:
                    break
                self.omd.touch(self.omd.node_conf_path)
            else:
                self.fail("the watch ended")
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()

    def test_mistakes_in_the_command_line_are_exit_code_two(self):
        for arguments in (("nonsense",), ("daemon", "nonsense"), ("daemon", "status", "--nonsense"),
                          ("node", "set", "--param"), ("node", "nonsense"),
                          ("svc1", "start", "--nonsense"), ()):
            done = self.omd.omctl(*arguments)
            self.assertEqual(done.returncode, USAGE, (arguments, done))
            self.assertTrue(done.stderr or done.stdout)

    def test_help_teaches(self):
        for arguments in (("--help",), ("daemon", "--help"), ("node", "set", "--help"),
                          ("blacklist", "--help")):
            done = self.omd.omctl(*arguments, check=DONE)
            self.assertIn("omctl", done.stdout)
            self.assertGreater(len(done.stdout.splitlines()), 4)

    def om_packet(self, *arguments):
        done = subprocess.run(
            [self.omd.program("om-packet"), "--root", self.omd.root, "--nodename", "node1",
             *arguments], env=self.omd.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", timeout=60,
            check=False)
        self.assertTrue(done.stdout, done.stderr)
        return done.returncode, json.loads(done.stdout)

    def test_om_packet_asks_through_both_doors(self):
        for door in ((), ("--server", "127.0.0.1"),
                     ("--server", "127.0.0.1:%d" % self.omd.port),
                     ("--socket", self.omd.local_socket)):
            code, reply = self.om_packet(*door, "--action", "daemon_status")
            self.assertEqual((code, reply["pid"]), (0, self.omd.pid), door)
            code, reply = self.om_packet(*door, "--action", "clear", "--option", "svcpath=../x")
            self.assertNotEqual(code, 0)
            self.assertNotEqual(reply["status"], 0)


class NoDaemonTest(OmdTestCase):
    def test_without_a_daemon_commands_say_so(self):
        omd = self.start_omd(start=False)
        for arguments in (("daemon", "status"), ("svc1", "start"), ("blacklist", "clear"),
                          ("daemon", "stats"), ("node", "get", "--param", "node.env")):
            done = omd.omctl(*arguments)
            self.assertEqual(done.returncode, NO_CONNECTION, (arguments, done))
            self.assertTrue(done.stderr)
        omd.omctl("svc1", "status", check=10 + NO_CONNECTION)

    def test_start_starts_a_daemon_and_stop_stops_it_and_instances_stay(self):
        omd = self.start_omd(start=False, prepare=lambda omd: setattr(self, "app", App(omd)))
        omd.omctl("daemon", "start", "--nodename", "node1", check=DONE, timeout=120)
        wait_for(lambda: os.path.exists(omd.grpc_socket) and omd.health("") == "SERVING",
                 "it serves")
        pid = omd.grpc.call("DaemonService.GetStatus").daemon.pid
        self.assertEqual(omd.status()["pid"], pid)
        self.assertEqual(self.app.order("started")["status"], 0)
        omd.wait_instance("svc1", "up")
        omd.drop_channel()
        omd.omctl("daemon", "stop", check=DONE, timeout=120)
        wait_for(lambda: not Process(pid).alive, "the daemon has ended")
        self.assertEqual(len(self.app.processes()), 1)
        # Stopping what does not run is no error for a script.
        self.assertIn(omd.omctl("daemon", "stop").returncode, (DONE, NO_CONNECTION))

    def test_omd_refuses_what_it_does_not_know(self):
        omd = self.start_omd(start=False)
        done = subprocess.run([omd.program("omd"), "--nonsense"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                              check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"nonsense", done.stdout)
        self.assertIsInstance(omd, Omd)


if __name__ == "__main__":
    unittest.main()

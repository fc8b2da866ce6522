#!/usr/bin/python3
"""The supervised threads: states, stops and starts, through both doors."""

import os
import sys
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import OmdTestCase, grpc, wait_for  # noqa: E402
from grpc_api import enum_name  # noqa: E402

THREADS = ("listener", "monitor", "scheduler")


class ThreadsTest(OmdTestCase):
    OMD = {}

    def state(self, thread):
        """State of a thread, which the document, the list and the health service must agree on."""
        return self.omd.status()[thread]["state"]

    def listed(self):
        return {item.id: item for item in self.omd.grpc.call("DaemonService.ListThreads").threads}

    def tearDown(self):
        for thread in THREADS:
            self.omd.grpc.call("DaemonService.StartThread", thread_id=thread)
            wait_for(lambda thread=thread: self.state(thread) == "running", thread + " runs")

    def wait_state(self, thread, state, health):
        wait_for(lambda: self.state(thread) == state, "%s is %s" % (thread, state))
        wait_for(lambda: enum_name(self.listed()[thread], "state").lower() == state, "also listed")
        wait_for(lambda: self.omd.health(thread) == health, "health of %s is %s" % (thread, health))
        self.assertEqual(self.omd.health(""), "SERVING")

    def test_all_three_run_and_are_known_by_name(self):
        for thread in THREADS:
            self.wait_state(thread, "running", "SERVING")
        self.assertLessEqual(set(THREADS), set(self.listed()))
        endpoint = "127.0.0.1:%d" % self.omd.port
        self.assertIn(endpoint, list(self.listed()["listener"].endpoints))
        for item in self.listed().values():
            self.assertGreater(item.start_time.seconds, 0)
            self.assertEqual(item.restart_count, 0)

    def test_each_thread_stops_and_starts_through_the_clear_socket(self):
        for thread in THREADS:
            with self.subTest(thread):
                for options in ({"thr_id": thread}, {"thr_id": thread, "wait": True},
                                {"thr_id": thread}):  # Stopping twice is no error.
                    self.assertEqual(self.omd.local.request("daemon_stop", options), {"status": 0})
                self.wait_state(thread, "stopped", "NOT_SERVING")
                for _ in range(2):
                    self.assertEqual(
                        self.omd.local.request("daemon_start", {"thr_id": thread}), {"status": 0})
                self.wait_state(thread, "running", "SERVING")

    def test_each_thread_stops_and_starts_over_grpc(self):
        for thread in THREADS:
            with self.subTest(thread):
                for _ in range(2):
                    reply = self.omd.grpc.call("DaemonService.StopThread", thread_id=thread,
                                               wait=True, request_id=str(uuid.uuid4()))
                    self.assertEqual(enum_name(reply.thread, "state"), "STOPPED")
                self.wait_state(thread, "stopped", "NOT_SERVING")
                for _ in range(2):
                    self.omd.grpc.call("DaemonService.StartThread", thread_id=thread)
                self.wait_state(thread, "running", "SERVING")

    def test_wait_answers_only_once_the_thread_has_stopped(self):
        self.assertEqual(self.omd.local.request("daemon_stop", {"thr_id": "scheduler",
                                                                "wait": True}), {"status": 0})
        self.assertEqual(self.state("scheduler"), "stopped")

    def test_a_stopped_listener_closes_the_port_and_is_started_over_the_clear_socket(self):
        packet = self.omd.packet()
        self.assertEqual(packet.request("daemon_blacklist_status")["status"], 0)
        # Asked for over the very port that closes: answered all the same.
        self.assertEqual(packet.request("daemon_stop", {"thr_id": "listener"}), {"status": 0})

        def refused():
            try:
                packet.connect().close()
            except ConnectionRefusedError:
                return True
            return False

        wait_for(refused, "the packet port is closed")
        # The local socket and gRPC belong to the daemon.
        self.assertEqual(self.state("listener"), "stopped")
        self.assertEqual(list(self.listed()["listener"].endpoints), [])
        self.assertEqual(self.omd.local.request("daemon_start", {"thr_id": "listener"}),
                         {"status": 0})
        wait_for(lambda: not refused(), "the packet port is open again")
        self.assertEqual(packet.request("daemon_blacklist_status")["status"], 0)

    def test_an_operators_stop_holds_though_the_configuration_changes(self):
        self.omd.local.request("daemon_stop", {"thr_id": "scheduler", "wait": True})
        watch = self.omd.grpc.stream("DaemonService.WatchStatus", only_changes=True)
        # The stream is open once the server has said anything; a touched file makes it speak.
        self.omd.touch(self.omd.node_conf_path)
        for message in watch:
            if any(event.id == "node_config_change" for event in message.change.events):
                break
            self.omd.touch(self.omd.node_conf_path)
        watch.cancel()
        self.assertEqual(self.state("scheduler"), "stopped")

    def test_a_restart_of_the_daemon_starts_what_was_stopped(self):
        omd = self.start_omd()
        omd.local.request("daemon_stop", {"thr_id": "scheduler", "wait": True})
        self.assertEqual(omd.status()["scheduler"]["state"], "stopped")
        omd.restart()
        self.assertEqual(omd.status()["scheduler"]["state"], "running")

    def test_an_unknown_id_is_answered_with_the_valid_ones(self):
        for method in ("StartThread", "StopThread"):
            error = self.assert_rpc_error(
                grpc.StatusCode.NOT_FOUND, self.omd.grpc.call, "DaemonService." + method,
                thread_id="foo", reason="UNKNOWN_THREAD")
            for thread in THREADS:
                self.assertIn(thread, error.text)
        for action in ("daemon_stop", "daemon_start"):
            for thread in ("foo", "", "LISTENER"):
                reply = self.omd.local.request(action, {"thr_id": thread})
                self.assertEqual(reply["status"], 1, (action, thread, reply))
            for thread in (5, ["listener"], {"a": 1}):
                reply = self.omd.local.request(action, {"thr_id": thread})
                self.assertEqual(reply["status"], 1, (action, thread, reply))
        for thread in THREADS:
            self.assertEqual(self.state(thread), "running")

    def test_start_without_id_asks_for_one(self):
        self.assertEqual(self.omd.local.request("daemon_start"),
                         {"error": "no thread specified", "status": 1})

    def test_with_the_monitor_stopped_status_is_still_served(self):
        self.omd.local.request("daemon_stop", {"thr_id": "monitor", "wait": True})
        self.assertEqual(self.omd.status()["monitor"]["state"], "stopped")
        self.assertIn("node1", self.omd.status()["monitor"]["nodes"])


if __name__ == "__main__":
    unittest.main()

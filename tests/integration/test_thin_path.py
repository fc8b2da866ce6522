#!/usr/bin/python3
"""One service through both doors, and through crashes of the daemon.

An order that was acknowledged is carried out whatever happens to the daemon, nothing is started twice,
and a repeated request_id gets the first answer.
"""

import os
import random
import sys
import time
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import (App, OmdTestCase, grpc, seed_from_environment, wait_for)  # noqa: E402
from grpc_api import enum_name  # noqa: E402


class Door:
    """Orders and status through one of the ways in."""

    def __init__(self, omd):
        self.omd = omd


class GrpcDoor(Door):
    def order(self, path, value, request_id=""):
        reply = self.omd.grpc.call("MonitorService.SetInstanceMonitor", path=path,
                                   global_expect=value, request_id=request_id)
        return enum_name(reply, "outcome")

    def avail(self, path):
        for item in self.omd.grpc.call("DaemonService.GetStatus").objects:
            if item.path == path:
                return enum_name(item, "avail").lower()
        return None


class PacketDoor(Door):
    def client(self):
        return self.omd.packet()

    def order(self, path, value, request_id=""):
        options = {"svcpath": path, "status": None, "local_expect": None, "global_expect": value,
                   "stonith": None}
        reply = self.client().request("set_service_monitor", options)
        if reply["status"] != 0:
            raise AssertionError("refused: %r" % reply)
        return "ALREADY_REACHED" if "is already" in " ".join(reply["info"]) else "ACCEPTED"

    def avail(self, path):
        return self.client().request("daemon_status")["monitor"]["services"][path].get("avail")


class ClearDoor(PacketDoor):
    def client(self):
        return self.omd.local


class BothDoorsTest(OmdTestCase):
    OMD = {}

    @classmethod
    def prepare(cls, omd):
        cls.app = App(omd, "svc1")
        omd.write_service("svc2", {"app#1": {"type": "simple",
                                             "start": "/bin/sleep 86398.123456"}})

    def setUp(self):
        # Whatever became of the test before: down, and nothing ordered.
        for path in ("svc1", "svc2"):
            wait_for(lambda path=path: self.omd.instance(path), "%s is known" % path)
            if self.omd.instance(path).get("avail") != "down":
                ClearDoor(self.omd).order(path, "stopped")
            self.omd.wait_instance(path, "down")

    def doors(self):
        return {"grpc": GrpcDoor(self.omd), "packet": PacketDoor(self.omd),
                "clear": ClearDoor(self.omd)}

    def check_everyone_sees(self, path, avail):
        for name, door in self.doors().items():
            wait_for(lambda door=door: door.avail(path) == avail,
                     "%s is %s through the %s door" % (path, avail, name))

    def test_a_service_is_started_and_stopped_through_either_door(self):
        self.omd.wait_instance("svc1", "down")
        for name, door in self.doors().items():
            with self.subTest(name):
                starts = self.app.starts()
                self.assertEqual(door.order("svc1", "started"), "ACCEPTED")
                self.omd.wait_instance("svc1", "up")
                self.check_everyone_sees("svc1", "up")
                self.assertEqual(len(self.app.processes()), 1)
                self.assertEqual(self.app.starts(), starts + 1)
                self.assertEqual(door.order("svc1", "started"), "ALREADY_REACHED")
                self.assertEqual(door.order("svc1", "stopped"), "ACCEPTED")
                instance = self.omd.wait_instance("svc1", "down")
                self.assertGreater(instance["frozen"], 0, "a stop freezes the instance first")
                self.check_everyone_sees("svc1", "down")
                self.assertEqual(self.app.processes(), [])
                self.app.check_journal()
        # A start thaws.
        self.assertEqual(self.doors()["grpc"].order("svc1", "started"), "ACCEPTED")
        self.assertEqual(self.omd.wait_instance("svc1", "up")["frozen"], 0)
        self.assertEqual(self.doors()["clear"].order("svc1", "stopped"), "ACCEPTED")
        self.omd.wait_instance("svc1", "down")

    def simple_processes(self):
        return [process for process in self.omd.children()
                if process.command == "/bin/sleep 86398.123456"]

    def test_a_simple_app_is_started_and_stopped(self):
        door = self.doors()["packet"]
        self.omd.wait_instance("svc2", "down")
        for _ in range(2):
            self.assertEqual(door.order("svc2", "started"), "ACCEPTED")
            instance = self.omd.wait_instance("svc2", "up")
            self.assertEqual(instance["resources"]["app#1"]["type"], "app.simple")
            self.assertEqual(len(self.simple_processes()), 1)
            self.assertEqual(door.order("svc2", "stopped"), "ACCEPTED")
            self.omd.wait_instance("svc2", "down")
            self.assertEqual(self.simple_processes(), [])

    def test_the_instance_log_and_status_file_are_where_legacy_tools_look(self):
        self.omd.wait_instance("svc1", "down")
        path = os.path.join(self.omd.var, "svc", "svc1", "status.json")
        wait_for(lambda: os.path.exists(path), "status.json is written")
        self.assertEqual(ClearDoor(self.omd).order("svc1", "started"), "ACCEPTED")
        self.omd.wait_instance("svc1", "up")
        log = os.path.join(self.omd.log, "svc1.log")
        wait_for(lambda: os.path.exists(log) and os.path.getsize(log), "svc1.log is written")
        self.assertEqual(ClearDoor(self.omd).order("svc1", "stopped"), "ACCEPTED")
        self.omd.wait_instance("svc1", "down")

    def assert_same_answer(self, again, first):
        """But for the monitor, which is always the one of now."""
        self.assertEqual((again.outcome, again.order_id, again.message),
                         (first.outcome, first.order_id, first.message))

    def test_a_repeated_request_id_gets_the_first_answer(self):
        self.omd.wait_instance("svc1", "down")
        request = {"path": "svc1", "global_expect": "started", "request_id": str(uuid.uuid4())}
        first = self.omd.grpc.call("MonitorService.SetInstanceMonitor", **request)
        self.assertEqual(enum_name(first, "outcome"), "ACCEPTED")
        self.omd.wait_instance("svc1", "up")
        again = self.omd.grpc.call("MonitorService.SetInstanceMonitor", **request)
        self.assert_same_answer(again, first)
        # Another id is another order.
        other = self.omd.grpc.call("MonitorService.SetInstanceMonitor", path="svc1",
                                   global_expect="started", request_id=str(uuid.uuid4()))
        self.assertEqual(enum_name(other, "outcome"), "ALREADY_REACHED")
        self.assertEqual(GrpcDoor(self.omd).order("svc1", "stopped"), "ACCEPTED")
        self.omd.wait_instance("svc1", "down")
        # The repeat is an answer, not an order: nothing starts.
        again = self.omd.grpc.call("MonitorService.SetInstanceMonitor", **request)
        self.assert_same_answer(again, first)
        self.assertFalse(self.omd.instance("svc1")["monitor"].get("global_expect"))
        self.assertEqual(self.app.processes(), [])

    def test_a_request_id_used_for_another_request_is_an_error(self):
        self.omd.wait_instance("svc1", "down")
        request_id = str(uuid.uuid4())
        self.omd.grpc.call("MonitorService.SetInstanceMonitor", path="svc1",
                           global_expect="thawed", request_id=request_id)
        error = self.assert_rpc_error(
            grpc.StatusCode.INVALID_ARGUMENT, self.omd.grpc.call,
            "MonitorService.SetInstanceMonitor", path="svc1", global_expect="started",
            request_id=request_id)
        self.assertTrue(error.reason, error)
        self.assert_rpc_error(
            grpc.StatusCode.INVALID_ARGUMENT, self.omd.grpc.call, "MonitorService.ClearInstance",
            path="svc1", request_id=request_id)
        self.assertEqual(self.app.processes(), [])

    def test_a_request_id_must_be_a_uuid(self):
        error = self.assert_rpc_error(
            grpc.StatusCode.INVALID_ARGUMENT, self.omd.grpc.call,
            "MonitorService.SetInstanceMonitor", path="svc1", global_expect="started",
            request_id="not a uuid")
        self.assertIn("request_id", error.text)

    def test_orders_for_what_is_not_there_are_refused_with_a_reason(self):
        for function, fields in (("SetInstanceMonitor", {"global_expect": "started"}),
                                 ("GetInstanceMonitor", {}), ("ClearInstance", {})):
            self.assert_rpc_error(grpc.StatusCode.NOT_FOUND, self.omd.grpc.call,
                                  "MonitorService." + function, path="nope",
                                  reason="SERVICE_UNKNOWN", **fields)
        self.assert_rpc_error(grpc.StatusCode.INVALID_ARGUMENT, self.omd.grpc.call,
                              "MonitorService.SetInstanceMonitor", path="svc1",
                              global_expect="bogus")
        for path in ("", "../x", "a,b", "a\0b", "x" * 5000):
            self.assert_rpc_error(grpc.StatusCode.INVALID_ARGUMENT, self.omd.grpc.call,
                                  "MonitorService.SetInstanceMonitor", path=path,
                                  global_expect="started")

    def test_setting_nothing_reads_the_monitor(self):
        reply = self.omd.local.request("set_service_monitor", {"svcname": "svc1"})
        self.assertEqual(reply["status"], 0)
        self.assertIn("status", reply["data"])
        read = self.omd.grpc.call("MonitorService.GetInstanceMonitor", path="svc1")
        self.assertEqual(read.node, "node1")
        self.assertEqual(read.monitor.status, reply["data"]["status"])


class FailureTest(OmdTestCase):
    def test_a_failed_start_is_told_cleared_and_tried_again(self):
        omd = self.start_omd(prepare=lambda omd: setattr(self, "app", App(omd)))
        omd.wait_instance("svc1", "down")
        self.app.fail_starts(True)
        self.assertEqual(GrpcDoor(omd).order("svc1", "started"), "ACCEPTED")
        wait_for(lambda: omd.instance("svc1")["monitor"]["status"] == "start failed", "it fails")
        wait_for(lambda: not omd.instance("svc1")["monitor"].get("global_expect"),
                 "the order is given up")
        self.app.fail_starts(False)
        reply = omd.grpc.call("MonitorService.ClearInstance", path="svc1")
        self.assertTrue(reply.cleared)
        self.assertEqual(reply.previous_status, "start failed")
        self.assertEqual(ClearDoor(omd).order("svc1", "started"), "ACCEPTED")
        omd.wait_instance("svc1", "up")

    def test_an_order_on_a_busy_instance_is_refused(self):
        omd = self.start_omd(prepare=lambda omd: setattr(self, "app", App(omd, pause="3")))
        omd.wait_instance("svc1", "down")
        self.assertEqual(GrpcDoor(omd).order("svc1", "started"), "ACCEPTED")
        wait_for(lambda: "begin-start" in self.app.journal(), "the start runs", interval=0.01)
        reply = omd.local.request("set_service_monitor",
                                  {"svcpath": "svc1", "global_expect": "stopped"})
        self.assertEqual((reply["status"], reply["error"]),
                         (1, ["svc1 instance on node node1 in starting state"]))
        self.assert_rpc_error(grpc.StatusCode.FAILED_PRECONDITION, omd.grpc.call,
                              "MonitorService.SetInstanceMonitor", path="svc1",
                              global_expect="stopped", reason="INSTANCE_BUSY")
        omd.wait_instance("svc1", "up")
        self.app.check_journal()


class KillTest(OmdTestCase):
    """SIGKILL at random moments of start and stop orders."""

    MOMENTS = 50

    def give_order(self, omd, rng, value, request_id):
        """Gives an order through a random door; True if it was acknowledged."""
        door = rng.choice((GrpcDoor, PacketDoor, ClearDoor))(omd)
        return door.order("svc1", value, request_id) in ("ACCEPTED", "ALREADY_REACHED")

    def test_orders_survive_crashes_and_nothing_is_started_twice(self):
        rng = random.Random(seed_from_environment())
        omd = self.start_omd(prepare=lambda omd: setattr(
            self, "app", App(omd, pause="0.%d" % rng.randrange(1, 3))))
        app = self.app
        omd.wait_instance("svc1", "down")
        goal = {"started": "up", "stopped": "down"}
        value = "started"
        for moment in range(self.MOMENTS):
            delay = rng.choice((0, rng.uniform(0, 0.1), rng.uniform(0, 1.5)))
            with self.subTest(moment=moment, order=value, delay=round(delay, 4)):
                self.assertTrue(self.give_order(omd, rng, value, str(uuid.uuid4())))
                time.sleep(delay)  # Not a condition: the random moment of the crash.
                omd.kill()
                omd.start()
                omd.wait_instance("svc1", goal[value])
                self.assertEqual(len(app.processes()), 1 if value == "started" else 0)
                app.check_journal()
            value = "stopped" if value == "started" else "started"
        # Left alone it stays as it is.
        app.check_journal()

    def test_a_repeated_request_id_gets_the_first_answer_after_a_crash(self):
        omd = self.start_omd(prepare=lambda omd: setattr(self, "app", App(omd)))
        omd.wait_instance("svc1", "down")
        request = {"path": "svc1", "global_expect": "started", "request_id": str(uuid.uuid4())}
        first = omd.grpc.call("MonitorService.SetInstanceMonitor", **request)
        omd.kill()
        omd.start()
        again = omd.grpc.call("MonitorService.SetInstanceMonitor", **request)
        self.assertEqual((again.outcome, again.order_id), (first.outcome, first.order_id))
        omd.wait_instance("svc1", "up")
        self.assertEqual(self.app.starts(), 1)
        self.assert_rpc_error(
            grpc.StatusCode.INVALID_ARGUMENT, omd.grpc.call, "MonitorService.SetInstanceMonitor",
            path="svc1", global_expect="stopped", request_id=request["request_id"])
        self.assertEqual(len(self.app.processes()), 1)

    def test_a_client_that_heard_nothing_may_repeat_itself(self):
        """Killed while the order is on its way: the repeat with the same id makes it once."""
        rng = random.Random(seed_from_environment())
        omd = self.start_omd(prepare=lambda omd: setattr(self, "app", App(omd)))
        omd.wait_instance("svc1", "down")
        for value, avail in (("started", "up"), ("stopped", "down")) * 2:
            request = {"path": "svc1", "global_expect": value, "request_id": str(uuid.uuid4())}
            function, make = omd.grpc.method("MonitorService.SetInstanceMonitor")
            future = function.future(make(**request), timeout=30)
            time.sleep(rng.uniform(0, 0.02))  # Not a condition: the random moment of the crash.
            omd.process.kill()
            omd.process.wait()
            try:
                first = future.result()
            except grpc.RpcError:
                first = None
            omd.drop_channel()
            omd.start()
            again = omd.grpc.call("MonitorService.SetInstanceMonitor", **request)
            if first is not None:
                self.assertEqual((again.outcome, again.order_id), (first.outcome, first.order_id))
            omd.wait_instance("svc1", avail)
            self.app.check_journal()
        self.assertEqual(self.app.starts(), 2)

    def test_a_torn_journal_is_read_up_to_its_last_whole_record(self):
        omd = self.start_omd(prepare=lambda omd: setattr(self, "app", App(omd)))
        omd.wait_instance("svc1", "down")
        self.assertEqual(GrpcDoor(omd).order("svc1", "started"), "ACCEPTED")
        omd.wait_instance("svc1", "up")
        omd.kill()
        files = [os.path.join(folder, name)
                 for folder, _, names in os.walk(os.path.join(omd.var, "omd")) for name in names]
        journal = max(files, key=os.path.getsize)
        self.assertTrue(os.path.getsize(journal))
        with open(journal, "ab") as stream:
            stream.write(b"\x7f\x00\x01torn")
        omd.start()
        omd.wait_instance("svc1", "up")
        self.assertEqual(self.app.starts(), 1)
        self.assertEqual(GrpcDoor(omd).order("svc1", "stopped"), "ACCEPTED")
        omd.wait_instance("svc1", "down")


if __name__ == "__main__":
    unittest.main()

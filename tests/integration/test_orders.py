#!/usr/bin/python3
"""Orders as things of their own, over both doors: followed, explained, tried, and kept through a kill."""

import json
import os
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import App, OmdTestCase, wait_for  # noqa: E402

DONE, ERROR, DEADLINE = 0, 1, 4


class OrdersTest(OmdTestCase):
    OMD = {}

    @classmethod
    def prepare(cls, omd):
        cls.parent = App(omd, "parent")
        cls.child = App(omd, "child", parents="parent")

    def run_json(self, *arguments, check=DONE):
        return json.loads(self.omd.omctl(*arguments, "-o", "json", check=check).stdout)

    def order(self, order_id):
        return self.run_json("order", "show", order_id)

    def stop_both(self):
        for name in ("child", "parent"):
            wait_for(lambda: self.omd.omctl(name, "stop", "--wait").returncode == DONE, "stopped")
            self.omd.wait_instance(name, "down")

    def wait_state(self, order_id, state):
        return wait_for(lambda: self.order(order_id)["state"] == "ORDER_STATE_" + state,
                        lambda: "%s: %s" % (state, self.order(order_id)))

    def test_an_order_is_blocked_survives_a_kill_and_is_reached(self):
        self.stop_both()
        omd = self.omd
        plan = self.run_json("child", "start", "--dry-run")
        self.assertEqual(plan["outcome"], "ORDER_OUTCOME_DRY_RUN")
        self.assertEqual(plan["blockedReason"], "parent parent is down")
        self.assertEqual(self.child.starts(), 0)
        order_id = self.run_json("child", "start")["orderId"]
        self.wait_state(order_id, "BLOCKED")
        self.assertEqual(self.order(order_id)["reason"], "parent parent is down")
        omd.omctl("order", "watch", order_id, "--timeout", "1", check=DEADLINE)
        # Who waits goes on waiting while the daemon is killed and comes back.
        ended = []
        waiter = threading.Thread(target=lambda: ended.append(
            omd.omctl("order", "watch", order_id, "--timeout", "60", "--connect-timeout", "60",
                      timeout=90)))
        waiter.start()
        omd.kill()
        omd.start()
        self.wait_state(order_id, "BLOCKED")
        started = self.run_json("parent", "start", "--wait")
        self.assertEqual(started["state"], "ORDER_STATE_REACHED")
        waiter.join(90)
        self.assertEqual([done.returncode for done in ended], [DONE], ended)
        order = self.order(order_id)
        self.assertEqual(order["state"], "ORDER_STATE_REACHED")
        self.assertEqual([step["action"] for step in order["steps"]][-1], "start")
        self.assertEqual(order["steps"][-1]["exitStatus"], 0)
        # What has ended is known after a kill, too.
        omd.kill()
        omd.start()
        self.assertEqual(self.order(order_id)["state"], "ORDER_STATE_REACHED")
        listed = self.run_json("order", "list", "--path", "child")["orders"]
        self.assertEqual(listed[0]["orderId"], order_id)
        self.assertEqual(self.child.starts(), 1)

    def test_a_failed_order_tells_why(self):
        self.stop_both()
        self.parent.fail_starts(True)
        try:
            failed = self.omd.omctl("parent", "start", "--wait", check=ERROR)
        finally:
            self.parent.fail_starts(False)
        self.assertIn("start failed", failed.stderr)
        order = self.run_json("order", "list", "--path", "parent")["orders"][0]
        self.assertEqual(order["state"], "ORDER_STATE_FAILED")
        self.assertIn("exited with status", order["steps"][-1]["error"])
        self.omd.omctl("parent", "clear")

    def test_legacy_orders_have_an_identity_too(self):
        self.stop_both()
        reply = self.parent.order("started")
        self.assertEqual(reply["status"], 0)
        order = wait_for(lambda: [one for one in self.run_json("order", "list")["orders"]
                                  if one["path"] == "parent" and one["globalExpect"] == "started"],
                         "it is listed")[0]
        self.assertIn("packet", order["requester"])
        self.wait_state(order["orderId"], "REACHED")

    def test_node_monitors_over_both_doors(self):
        omd = self.omd
        reply = omd.local.request("set_node_monitor", {"global_expect": "frozen"})
        self.assertEqual(reply["status"], 0)
        wait_for(lambda: omd.status()["monitor"]["frozen"] == "frozen", "frozen")
        reply = omd.local.request("node_monitor", {"global_expect": "frozen"})
        self.assertEqual(reply["info"], ["cluster is already frozen"])
        reply = omd.local.request("set_node_monitor", {"global_expect": "bogus"})
        self.assertEqual((reply["status"], reply["data"]), (1, {}))
        omd.omctl("node", "thaw")
        wait_for(lambda: omd.status()["monitor"]["frozen"] == "thawed", "thawed")
        self.assertEqual(self.run_json("node", "monitor")["monitor"]["status"], "idle")

    def test_a_monitor_is_read_by_packets_without_attributes(self):
        omd = self.omd
        for action in ("set_service_monitor", "get_service_monitor"):
            reply = omd.local.request(action, {"svcpath": "parent"})
            self.assertEqual(reply["status"], 0)
            self.assertIn("status_updated", reply["data"])
        for action in ("set_service_monitor", "get_service_monitor"):
            self.assertEqual(omd.local.request(action, {"svcpath": "nope"})["status"], 1)


if __name__ == "__main__":
    unittest.main()

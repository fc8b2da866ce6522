#!/usr/bin/python3
"""Roles and namespaces on the real daemon: users with tokens over the local socket."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import grpc_api  # noqa: E402
from harness import OmdTestCase, grpc, wait_for  # noqa: E402

CODE = grpc.StatusCode
GRANTS = {"guest": "guest:web", "operator": "operator:web", "admin": "admin:web",
          "squatter": "squatter", "elsewhere": "admin:db"}
HIDDEN = "treasure"


class RolesTest(OmdTestCase):
    OMD = {}

    @classmethod
    def prepare(cls, omd):
        def write(path, text):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            omd.replace_file(path, text)

        namespaces = os.path.join(omd.etc, "namespaces")
        for name, grant in GRANTS.items():
            write(os.path.join(namespaces, "system", "usr", name + ".conf"),
                  "[DEFAULT]\nid = user-%s\ngrant = %s\n" % (name, grant))
        for namespace, name in (("web", "a"), ("db", HIDDEN)):
            write(os.path.join(namespaces, namespace, "svc", name + ".conf"),
                  "[DEFAULT]\nid = object-%s\nnodes = node1\ncomment = %s\n" % (name, name))

    def setUp(self):
        def known():
            status = self.omd.grpc.call("DaemonService.GetStatus")
            return {"web/svc/a", "db/svc/" + HIDDEN} <= {item.path for item in status.objects}
        wait_for(known, "both services are known")

    def as_user(self, name):
        token = self.omd.grpc.call("AuthService.CreateToken", user=name).token
        api = grpc_api.Api("unix:" + self.omd.grpc_socket, token=token)
        self.addCleanup(api.close)
        self.assertEqual(api.call("AuthService.WhoAmI").name, name)
        return api

    def test_lists_watches_and_events_are_of_the_namespaces_of_the_user(self):
        guest = self.as_user("guest")
        status = guest.call("DaemonService.GetStatus")
        self.assertEqual([item.path for item in status.objects], ["web/svc/a"])
        self.assertNotIn(HIDDEN.encode(), status.SerializeToString())
        watch = guest.stream("DaemonService.WatchStatus")
        self.addCleanup(watch.cancel)
        for message in watch:
            self.assertNotIn(HIDDEN.encode(), message.SerializeToString())
            if message.HasField("state_end"):
                self.assertEqual(message.state_end.object_count, 1)
                break
        root = self.omd.grpc
        for path in ("db/svc/" + HIDDEN, "web/svc/a"):
            root.call("MonitorService.SetInstanceMonitor", path=path, global_expect="frozen")
        orders = guest.call("MonitorService.ListOrders").orders
        self.assertEqual({order.path for order in orders}, {"web/svc/a"})
        for message in watch:
            self.assertNotIn(HIDDEN.encode(), message.SerializeToString())
            if any(item.path == "web/svc/a" for item in message.change.objects):
                break

    def test_each_role_orders_what_it_may_and_nothing_elsewhere(self):
        for name, order, allowed in (("guest", "thawed", False), ("operator", "thawed", True),
                                     ("operator", "unprovisioned", False),
                                     ("admin", "thawed", True), ("elsewhere", "thawed", False)):
            api = self.as_user(name)
            arguments = {"path": "web/svc/a", "global_expect": order}
            if allowed:
                api.call("MonitorService.SetInstanceMonitor", **arguments)
            else:
                self.assert_rpc_error(CODE.PERMISSION_DENIED, api.call,
                                      "MonitorService.SetInstanceMonitor",
                                      reason="ROLE_MISSING", **arguments)
        # What is there and what is not look alike from outside.
        for path in ("db/svc/" + HIDDEN, "db/svc/nothing"):
            self.assert_rpc_error(CODE.PERMISSION_DENIED, self.as_user("admin").call,
                                  "ConfigService.GetConfig", target={"object_path": path},
                                  reason="ROLE_MISSING")

    def test_an_admin_configures_containers_and_not_the_host(self):
        admin = self.as_user("admin")

        def update(name, value):
            return admin.call("ConfigService.UpdateConfig", target={"object_path": "web/svc/a"},
                              set=[{"name": name, "value": value}])

        update("comment", "changed")
        self.assert_rpc_error(CODE.PERMISSION_DENIED, update, "app#1.start", "/bin/true",
                              reason="CONFIG_NOT_ALLOWED")
        self.assert_rpc_error(CODE.PERMISSION_DENIED, update, "pre_start", "/bin/true",
                              reason="CONFIG_NOT_ALLOWED")
        self.assert_rpc_error(CODE.PERMISSION_DENIED, admin.call, "ActionService.RunAction",
                              command={"path": "web/svc/a",
                                       "arguments": [b"set", b"--kw", b"app#1.start=/bin/true"]},
                              reason="ROLE_MISSING")
        text = self.omd.grpc.call("ConfigService.GetConfig",
                                  target={"object_path": "web/svc/a"}).text
        self.assertIn("comment = changed", text)
        self.assertNotIn("/bin/true", text)

    def test_who_makes_a_namespace_becomes_its_admin(self):
        squatter = self.as_user("squatter")
        squatter.call("ActionService.CreateObjects", objects=[{"path": "fresh/cfg/c"}])
        self.assert_rpc_error(CODE.PERMISSION_DENIED, squatter.call, "ActionService.CreateObjects",
                              objects=[{"path": "web/cfg/c"}], reason="ROLE_MISSING")

        def reads():
            try:
                return self.as_user("squatter").call("ConfigService.GetConfig",
                                                     target={"object_path": "fresh/cfg/c"})
            except grpc.RpcError:
                return None
        wait_for(reads, "the new grant counts")


if __name__ == "__main__":
    unittest.main()

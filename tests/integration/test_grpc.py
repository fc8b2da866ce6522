#!/usr/bin/python3
"""The gRPC door as a stranger's client sees it: health, reflection, watch, paging, roles, errors."""

import os
import signal
import sys
import threading
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import grpc_api  # noqa: E402
from harness import SECRET, App, OmdTestCase, grpc, memory_limit, wait_for  # noqa: E402

THREADS = ("listener", "monitor", "scheduler")
CODE = grpc.StatusCode
# With Debian's grpcio a message over the limit shows under either name.
TOO_LARGE = {CODE.RESOURCE_EXHAUSTED}
SERVICES = 30


def catch_up(call):
    """Reads the state of a watch; returns chunks and the StateEnd message."""
    chunks = []
    for message in call:
        kind = message.WhichOneof("kind")
        if kind == "state":
            chunks.append(message)
        elif kind == "state_end":
            return chunks, message
    raise AssertionError("the watch ended before the state did")


class GrpcTest(OmdTestCase):
    OMD = {}

    @classmethod
    def prepare(cls, omd):
        cls.app = App(omd, "svc1")
        for number in range(SERVICES):
            omd.write_service("web%02d" % number, {
                "app#1": {"type": "simple", "start": "/bin/sleep 86397.%02d" % number}})

    def setUp(self):
        wait_for(lambda: self.omd.grpc.call("DaemonService.GetStatus").total_object_count
                 > SERVICES, "all services are known")

    # ---------------------------------------------------------------------- health, reflection

    def test_health_has_a_name_a_thread_and_one_for_all(self):
        for name in ("",) + THREADS:
            self.assertEqual(self.omd.health(name), "SERVING", name)
        self.assertEqual(self.omd.health("no.such.name"), "SERVICE_UNKNOWN")

    def test_health_follows_a_thread_that_is_stopped(self):
        watch = self.omd.grpc.stream("grpc.health.v1.Health.Watch", service="scheduler")
        self.assertEqual(next(watch).status, 1)
        self.omd.grpc.call("DaemonService.StopThread", thread_id="scheduler", wait=True)
        self.assertEqual(next(watch).status, 2)
        self.assertEqual(self.omd.health(""), "SERVING")
        self.omd.grpc.call("DaemonService.StartThread", thread_id="scheduler")
        self.assertEqual(next(watch).status, 1)
        watch.cancel()

    def test_reflection_lists_and_describes_the_services(self):
        name = "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo"
        with self.omd.guest() as guest:
            for api in (self.omd.grpc, guest):
                listed, described = list(api.requests(name, [
                    {"list_services": ""},
                    {"file_containing_symbol": "om.control.v1.DaemonService"}]))
                names = {item.name for item in listed.list_services_response.service}
                self.assertLessEqual(set(grpc_api.control_services())
                                     | {"grpc.health.v1.Health"}, names)
                self.assertTrue(described.file_descriptor_response.file_descriptor_proto)

    # ------------------------------------------------------------------------------------ status

    def test_status_tells_daemon_cluster_threads_nodes_and_objects(self):
        status = self.omd.grpc.call("DaemonService.GetStatus")
        self.assertEqual((status.daemon.pid, status.daemon.node), (self.omd.pid, "node1"))
        self.assertTrue(status.daemon.version)
        self.assertTrue(uuid.UUID(status.daemon.incarnation))
        self.assertEqual((status.cluster.name, list(status.cluster.nodes)), ("demo", ["node1"]))
        self.assertEqual([thread.id for thread in status.threads], sorted(THREADS))
        self.assertEqual([node.name for node in status.nodes], ["node1"])
        self.assertNotIn(SECRET, str(status))
        wait_for(lambda: [node.monitor.status for node in self.omd.grpc.call(
            "DaemonService.GetStatus").nodes] == ["idle"], "the node is idle")

    def test_objects_come_in_pages_and_together_are_all(self):
        whole = self.omd.grpc.call("DaemonService.GetStatus", page_size=1000)
        paths = [item.path for item in whole.objects]
        self.assertEqual(paths, sorted(paths))
        self.assertEqual(len(paths), whole.total_object_count)
        paged, token, pages = [], "", 0
        while True:
            page = self.omd.grpc.call("DaemonService.GetStatus", page_size=7, page_token=token)
            self.assertLessEqual(len(page.objects), 7)
            self.assertEqual(page.total_object_count, len(paths))
            paged += [item.path for item in page.objects]
            pages += 1
            token = page.next_page_token
            if not token:
                break
        self.assertEqual(paged, paths)
        self.assertGreaterEqual(pages, 5)
        some = self.omd.grpc.call("DaemonService.GetStatus", selector="web1*")
        self.assertEqual([item.path for item in some.objects],
                         ["web1%d" % number for number in range(10)])

    def test_page_tokens_and_sizes_that_do_not_fit_are_refused(self):
        for fields in ({"page_token": "nonsense"}, {"page_token": "\0"}, {"page_size": -1},
                       {"page_size": 1001}):
            for method in ("DaemonService.GetStatus", "DaemonService.ListNodes"):
                self.assert_rpc_error(CODE.INVALID_ARGUMENT, self.omd.grpc.call, method, **fields)

    def test_stats_and_nodes(self):
        stats = self.omd.grpc.call("DaemonService.GetStats")
        self.assertGreater(stats.daemon.memory_bytes, 1 << 20)
        self.assertGreater(stats.daemon.open_file_count, 3)
        self.assertLessEqual(set(THREADS), set(stats.threads))
        self.assertTrue(stats.counters)
        nodes = self.omd.grpc.call("DaemonService.ListNodes").nodes
        self.assertEqual([(node.name, node.known) for node in nodes], [("node1", True)])

    def test_start_of_a_running_daemon_says_so(self):
        reply = self.omd.grpc.call("DaemonService.StartDaemon")
        self.assertEqual((reply.already_running, reply.pid), (True, self.omd.pid))

    # ------------------------------------------------------------------------------------- watch

    def change_something(self):
        """Makes a change that every watcher is told of."""
        self.app.order("frozen")
        wait_for(lambda: self.omd.instance("svc1").get("frozen"), "svc1 is frozen")
        self.app.order("thawed")
        wait_for(lambda: not self.omd.instance("svc1").get("frozen"), "svc1 is thawed")

    def test_a_watch_tells_the_whole_state_and_then_every_change(self):
        call = self.omd.grpc.stream("DaemonService.WatchStatus")
        chunks, end = catch_up(call)
        paths = [item.path for chunk in chunks for item in chunk.state.objects]
        self.assertEqual(paths, sorted(paths))
        self.assertEqual(len(paths), end.state_end.object_count)
        self.assertLessEqual({"svc1", "web00"}, set(paths))
        self.assertTrue(chunks[0].state.HasField("daemon"))
        self.assertEqual({chunk.state.revision for chunk in chunks}, {end.state_end.revision})
        self.assertEqual([chunk.resume_token for chunk in chunks], [""] * len(chunks))
        self.assertTrue(end.resume_token)
        thread = threading.Thread(target=self.change_something)
        thread.start()
        revision = end.state_end.revision
        frozen = []
        for message in call:
            if message.WhichOneof("kind") != "change":
                continue
            self.assertGreater(message.change.revision, revision)
            revision = message.change.revision
            for item in message.change.objects:
                for instance in item.instances:
                    if item.path == "svc1":
                        frozen.append(instance.HasField("freeze_time"))
            if True in frozen and frozen[-1] is False:
                break
        call.cancel()
        thread.join()

    def test_a_watch_resumes_after_its_last_message_without_a_gap(self):
        call = self.omd.grpc.stream("DaemonService.WatchStatus")
        _, end = catch_up(call)
        call.cancel()
        self.change_something()

        def changes_after(token, until):
            told = []
            call = self.omd.grpc.stream("DaemonService.WatchStatus", resume_token=token)
            for message in call:
                self.assertNotIn(message.WhichOneof("kind"), ("state", "state_end"))
                if message.WhichOneof("kind") == "change":
                    told.append(message)
                    if message.change.revision >= until:
                        break
            call.cancel()
            return told

        now = self.omd.grpc.call("DaemonService.GetStatus").revision
        told = changes_after(end.resume_token, now)
        self.assertTrue(any(item.path == "svc1" for message in told
                            for item in message.change.objects))
        # From the middle: what comes is what came after it.
        first = told[0]
        again = changes_after(first.resume_token, now)
        for message in again:
            self.assertGreater(message.change.revision, first.change.revision)

    def test_only_changes_leaves_the_state_out(self):
        call = self.omd.grpc.stream("DaemonService.WatchStatus", only_changes=True)
        thread = threading.Thread(target=self.change_something)
        thread.start()
        for message in call:
            self.assertNotIn(message.WhichOneof("kind"), ("state", "state_end"))
            if message.WhichOneof("kind") == "change":
                break
        call.cancel()
        thread.join()

    def test_tokens_that_this_daemon_did_not_give_are_refused(self):
        omd = self.start_omd()
        call = omd.grpc.stream("DaemonService.WatchStatus")
        _, end = catch_up(call)
        call.cancel()
        foreign = self.assert_rpc_error(
            CODE.OUT_OF_RANGE, self.omd.grpc.stream, "DaemonService.WatchStatus",
            resume_token=end.resume_token)
        self.assertTrue(foreign.reason)
        # The same daemon after a restart is another one.
        omd.restart()
        self.assert_rpc_error(CODE.OUT_OF_RANGE, omd.grpc.stream, "DaemonService.WatchStatus",
                              resume_token=end.resume_token)
        self.assert_rpc_error(CODE.INVALID_ARGUMENT, omd.grpc.stream, "DaemonService.WatchStatus",
                              resume_token="nonsense")

    def test_a_token_whose_changes_are_forgotten_is_refused_and_not_skipped(self):
        call = self.omd.grpc.stream("DaemonService.WatchStatus")
        _, end = catch_up(call)
        call.cancel()

        def forgotten():
            # Changes are cheap to make by reports about an instance.
            for _ in range(300):
                for status in ("idle", "wait parents"):
                    self.omd.local.request("set_service_monitor",
                                           {"svcpath": "web00", "status": status})
            call = self.omd.grpc.stream("DaemonService.WatchStatus", resume_token=end.resume_token)
            try:
                first = next(call)
                self.assertIn(first.WhichOneof("kind"), ("change", "heartbeat"))
                call.cancel()
                return False
            except grpc.RpcError as error:
                self.assertEqual(error.code(), CODE.OUT_OF_RANGE)
                self.assertEqual(grpc_api.Error(error).reason, "REVISION_GONE")
                return True

        wait_for(forgotten, "the token has expired", 120, interval=0)

    def test_a_watcher_that_does_not_read_costs_no_memory(self):
        before = self.omd.memory_bytes()
        with grpc_api.Api("unix:" + self.omd.grpc_socket, grpc__http2__bdp_probe=0,
                          grpc__http2__lookahead_bytes=65536) as api:
            calls = [api.stream("DaemonService.WatchStatus") for _ in range(20)]
            for call in calls:
                next(call)
            for _ in range(100):
                self.omd.local.request("set_service_monitor",
                                       {"svcpath": "web01", "status": "idle"})
            self.assertLess(self.omd.memory_bytes() - before, memory_limit(200 << 20))
            for call in calls:
                call.cancel()

    # ------------------------------------------------------------------------------------- roles

    # Reads that a guest may or may not have; nothing here decides it.
    UNDECIDED = {"GetStats", "ListThreads", "ListNodes", "ListEntries", "GetInstanceMonitor",
                 "GetNodeMonitor", "GetOrder", "ListOrders", "WatchOrder", "StartDaemon",
                 "WatchEvents", "WaitFor", "WhoAmI", "GetAuthority"}

    def test_a_guest_over_tcp_reads_status_and_neither_changes_nor_reads_configuration(self):
        refused = set()
        with self.omd.guest() as guest:
            self.assertEqual(guest.call("DaemonService.GetStatus").daemon.pid, self.omd.pid)
            call = guest.stream("DaemonService.WatchStatus")
            catch_up(call)
            call.cancel()
            fields = {"SetInstanceMonitor": {"path": "svc1", "global_expect": "started"},
                      "ClearInstance": {"path": "svc1"}, "StopThread": {"thread_id": "listener"},
                      "StartThread": {"thread_id": "listener"},
                      "GetConfig": {"target": {"node": True}},
                      "GetKeywords": {"target": {"cluster": True}, "names": ["cluster.secret"]},
                      "UpdateConfig": {"target": {"node": True},
                                       "set": [{"name": "labels.x", "value": "y"}]},
                      "GetInstanceMonitor": {"path": "svc1"}}
            for service, methods in grpc_api.control_services().items():
                for method in methods:
                    if method in self.UNDECIDED or method in ("GetStatus", "WatchStatus"):
                        continue
                    name = "%s.%s" % (service.rpartition(".")[2], method)
                    with self.subTest(name):
                        error = self.assert_rpc_error(CODE.PERMISSION_DENIED, guest.call, name,
                                                      **fields.get(method, {}))
                        self.assertTrue(error.reason)
                        self.assertNotIn(SECRET, repr(error))
                        refused.add(method)
        self.assertLessEqual({"StopDaemon", "UpdateConfig", "GetConfig", "SetInstanceMonitor",
                              "ClearEntries"}, refused)
        self.assertEqual(self.app.processes(), [])
        self.assertEqual(self.omd.status()["listener"]["state"], "running")

    def test_the_local_root_reads_configuration(self):
        reply = self.omd.grpc.call("ConfigService.GetConfig", target={"cluster": True})
        self.assertIn("secret = " + SECRET, reply.text)
        self.assertIn("cluster", [section.name for section in reply.sections])
        self.assertTrue(reply.revision)
        reply = self.omd.grpc.call("ConfigService.GetConfig", target={"object_path": "svc1"},
                                   evaluate=True)
        values = {keyword.name: keyword.value for section in reply.sections
                  if section.name == "app#1" for keyword in section.keywords}
        self.assertEqual(values["type"], "forking")
        self.assert_rpc_error(CODE.NOT_FOUND, self.omd.grpc.call, "ConfigService.GetConfig",
                              target={"object_path": "nope"})
        self.assert_rpc_error(CODE.NOT_FOUND, self.omd.grpc.call, "ConfigService.GetKeywords",
                              target={"node": True}, names=["node.nonsense"])
        for target in ({}, {"object_path": "../x"}, {"object_path": ""}):
            self.assert_rpc_error(CODE.INVALID_ARGUMENT, self.omd.grpc.call,
                                  "ConfigService.GetConfig", target=target)

    # ------------------------------------------------------------------------------------ errors

    def test_errors_carry_details_that_machines_read_and_stay_small(self):
        error = self.assert_rpc_error(CODE.NOT_FOUND, self.omd.grpc.call,
                                      "DaemonService.StopThread", thread_id="foo",
                                      reason="UNKNOWN_THREAD")
        self.assertIn("ErrorInfo", [detail.DESCRIPTOR.name for detail in error.details])
        info = error.details[0]
        self.assertEqual(info.domain, "om")
        error = self.assert_rpc_error(
            CODE.INVALID_ARGUMENT, self.omd.grpc.call, "ConfigService.UpdateConfig",
            target={"node": True}, set=[{"name": "listener.port", "value": "x" * 100_000}])
        self.assertLess(error.raw_bytes + len(error.text), 4096)
        violations = [item for detail in error.details
                      if detail.DESCRIPTOR.name == "BadRequest" for item in detail.field_violations]
        self.assertTrue(violations, error)
        error = self.assert_rpc_error(CODE.NOT_FOUND, self.omd.grpc.call,
                                      "DaemonService.StopThread", thread_id="é\n" * 20_000)
        self.assertLess(error.raw_bytes + len(error.text), 4096)

    def test_a_message_too_large_is_refused(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.omd.grpc.call("BlacklistService.ClearEntries", sender="x" * (8 << 20))
        self.assertIn(caught.exception.code(), TOO_LARGE)
        self.assertEqual(self.omd.health(""), "SERVING")

    def test_an_unknown_method_is_unimplemented(self):
        function = self.omd.grpc.channel.unary_unary("/om.control.v1.DaemonService/Nonsense")
        with self.assertRaises(grpc.RpcError) as caught:
            function(b"", timeout=30)
        self.assertEqual(caught.exception.code(), CODE.UNIMPLEMENTED)

    def test_bytes_that_are_no_message_are_an_error(self):
        function = self.omd.grpc.channel.unary_unary("/om.control.v1.DaemonService/GetStatus")
        with self.assertRaises(grpc.RpcError):
            function(b"\xff\xff\xff\xff", timeout=30)
        self.assertEqual(self.omd.health(""), "SERVING")

    def test_the_blacklist_is_read_and_cleared(self):
        self.assert_rpc_error(CODE.INVALID_ARGUMENT, self.omd.grpc.call,
                              "BlacklistService.ClearEntries", sender="no address at all")
        reply = self.omd.grpc.call("BlacklistService.ClearEntries", sender="192.0.2.1")
        self.assertEqual(reply.cleared_count, 0)
        for fields in ({"page_size": -1}, {"page_size": 10001}, {"page_token": "nonsense"}):
            self.assert_rpc_error(CODE.INVALID_ARGUMENT, self.omd.grpc.call,
                                  "BlacklistService.ListEntries", **fields)


class EndTest(OmdTestCase):
    """How a daemon ends: in its own time, streams or not."""

    def test_sigterm_ends_within_the_deadline_though_streams_are_open(self):
        omd = self.start_omd()
        calls = [omd.grpc.stream("DaemonService.WatchStatus") for _ in range(5)]
        with omd.guest() as guest:
            calls += [guest.stream("DaemonService.WatchStatus") for _ in range(5)]
            calls += [guest.stream("grpc.health.v1.Health.Watch", service="")]
            for call in calls:
                next(call)
            # A packet that is only begun must not hold it up either.
            with omd.packet().connect() as sock, omd.local.connect() as local:
                sock.sendall(b"{")
                local.sendall(b"{")
                omd.process.send_signal(signal.SIGTERM)
                self.assertEqual(omd.process.wait(60), 0)
            for call in calls:
                with self.assertRaises((grpc.RpcError, StopIteration)):
                    while True:
                        next(call)
        omd.drop_channel()

    def test_a_daemon_that_is_told_twice_ends_once(self):
        omd = self.start_omd()
        omd.process.send_signal(signal.SIGTERM)
        omd.process.send_signal(signal.SIGTERM)
        omd.process.send_signal(signal.SIGINT)
        self.assertEqual(omd.wait_exit(), 0)

    def test_stop_daemon_answers_and_ends(self):
        omd = self.start_omd()
        reply = omd.grpc.call("DaemonService.StopDaemon", request_id=str(uuid.uuid4()), timeout=60)
        self.assertEqual(reply.pid, omd.pid)
        self.assertEqual(omd.wait_exit(), 0)

    def test_the_revision_grows_and_starts_over_with_the_daemon(self):
        omd = self.start_omd()
        first = omd.grpc.call("DaemonService.GetStatus")
        omd.restart()
        second = omd.grpc.call("DaemonService.GetStatus")
        self.assertNotEqual(first.daemon.incarnation, second.daemon.incarnation)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""The limits of node.conf on the real daemon: pushed past, held, counted, told; others are served, and it recovers."""

import ctypes
import errno
import fcntl
import os
import socket
import subprocess
import sys
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import grpc_api  # noqa: E402
from harness import OmdTestCase, grpc, wait_for  # noqa: E402

CODE = grpc.StatusCode


class HeldThreads:
    """Keeps the one thread of this name from running, as a disk that does not answer does.

    Not for pools of several: who wakes one of them may wait for another that was woken before.
    """

    SEIZE, INTERRUPT, DETACH, CONT = 0x4206, 0x4207, 17, 7

    def __init__(self, pid, name):
        self.pid = pid
        self.name = name
        self.held = []
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.libc.ptrace.restype = ctypes.c_long

    def ptrace(self, request, tid):
        if self.libc.ptrace(request, tid, None, None) < 0:
            error = ctypes.get_errno()
            if error in (errno.EPERM, errno.ENOSYS):
                raise unittest.SkipTest("threads may not be held here: %s" % os.strerror(error))
            raise OSError(error, os.strerror(error))

    def idle(self, tid):
        with open("/proc/%d/task/%d/stat" % (self.pid, tid), encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "S"

    def __enter__(self):
        folder = "/proc/%d/task" % self.pid
        for tid in map(int, os.listdir(folder)):
            with open("%s/%d/comm" % (folder, tid), encoding="ascii") as comm:
                if comm.read().strip() != self.name:
                    continue
            # One that waits for work holds no lock that others need.
            wait_for(lambda tid=tid: self.idle(tid), "%s has nothing to do" % self.name)
            self.ptrace(self.SEIZE, tid)
            self.held.append(tid)
            self.ptrace(self.INTERRUPT, tid)
            os.waitpid(tid, 0x40000000)  # __WALL
        assert self.held, "no thread is named %s" % self.name
        return self

    def __exit__(self, *_):
        for tid in self.held:
            self.ptrace(self.DETACH, tid)


class LimitsTest(OmdTestCase):
    def guest_of(self, omd):
        guest = omd.guest()
        self.addCleanup(guest.close)
        return guest

    def refusals(self, call, count):
        """The errors of so many calls; all others succeed."""
        errors = []
        for _ in range(count):
            try:
                call()
            except grpc.RpcError as error:
                errors.append(grpc_api.Error(error))
        return errors

    def assert_retry_told(self, error):
        self.assertTrue([detail for detail in error.details
                         if detail.DESCRIPTOR.full_name == "google.rpc.RetryInfo"], error)

    def test_calls_of_a_caller_are_limited_and_those_of_others_are_not(self):
        omd = self.start_omd(node_conf={"limits": {"calls_per_second": "1", "call_burst": "10"}})
        guest = self.guest_of(omd)
        errors = self.refusals(lambda: guest.call("DaemonService.ListThreads"), 60)
        self.assertGreater(len(errors), 20)
        for error in errors:
            self.assertEqual((error.code, error.reason),
                             (CODE.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS"))
            self.assert_retry_told(error)
        self.assertEqual(omd.counters()["limits.calls_refused"], len(errors))
        # Root on the local sockets is heard as before.
        for _ in range(60):
            omd.grpc.call("DaemonService.ListThreads")
            self.assertEqual(omd.local.request("daemon_blacklist_status")["status"], 0)

        def served():
            try:
                return guest.call("DaemonService.ListThreads")
            except grpc.RpcError:
                return None

        wait_for(served, "the guest is served again")
        # New limits hold while the daemon runs.
        omd.node_conf["limits"] = {"calls_per_second": "0"}
        omd.write_node_conf()
        wait_for(lambda: not self.refusals(lambda: guest.call("DaemonService.ListThreads"), 30),
                 "the guest is not limited any more")

    def test_packets_count_as_calls_of_their_address(self):
        omd = self.start_omd(node_conf={"limits": {"calls_per_second": "1", "call_burst": "10"}})
        replies = [omd.packet().request("daemon_blacklist_status") for _ in range(40)]
        refused = [reply for reply in replies if reply["status"] != 0]
        self.assertGreater(len(refused), 10)
        self.assertIn("limits.calls_per_second", str(refused[0]))
        self.assertGreaterEqual(omd.counters()["limits.calls_refused"], len(refused))
        other = omd.packet()
        other.source_address = "127.0.0.9"
        self.assertEqual(other.request("daemon_blacklist_status")["status"], 0)
        wait_for(lambda: omd.packet().request("daemon_blacklist_status")["status"] == 0,
                 "the address is served again", interval=1)

    def test_bad_credentials_count_against_their_address_and_nobody_else(self):
        omd = self.start_omd(start=False, node_conf={
            "limits": {"calls_per_second": "1", "call_burst": "10"}})
        folder = os.path.join(omd.etc, "namespaces", "system", "usr")
        os.makedirs(folder)
        with open(os.path.join(folder, "alice.conf"), "w", encoding="utf-8") as conf:
            conf.write("[DEFAULT]\nid = 11111111-0000-4000-8000-000000000001\n"
                       "grant = guest:root\n")
        omd.start()
        token = omd.grpc.call("AuthService.CreateToken", user="alice").token
        head, claims, signature = token.split(".")
        other_letter = "B" if signature[0] == "A" else "A"
        for bad in ("unknown", ".".join((head, claims, other_letter + signature[1:]))):
            with self.subTest(bad=bad):
                thief = grpc_api.Api("127.0.0.1:%d" % omd.grpc_port, token=bad)
                self.addCleanup(thief.close)
                before = omd.counters().get("limits.calls_refused", 0)
                errors = self.refusals(lambda: thief.call("DaemonService.ListThreads"), 40)
                self.assertEqual(len(errors), 40)
                told = [error for error in errors if error.reason == "TOO_MANY_CALLS"]
                self.assertGreater(len(told), 10)
                for error in errors:
                    if error in told:
                        self.assertEqual(error.code, CODE.RESOURCE_EXHAUSTED)
                        self.assert_retry_told(error)
                    else:
                        self.assertEqual((error.code, error.reason),
                                         (CODE.UNAUTHENTICATED, "CREDENTIAL_REFUSED"))
                self.assertEqual(omd.counters()["limits.calls_refused"] - before, len(told))
        # Who has a good token is heard from there, as is root, as is another address.
        alice = grpc_api.Api("127.0.0.1:%d" % omd.grpc_port, token=token)
        self.addCleanup(alice.close)
        self.assertEqual(alice.call("AuthService.WhoAmI").name, "alice")
        for _ in range(30):
            omd.grpc.call("DaemonService.ListThreads")
        other = omd.packet()
        other.source_address = "127.0.0.9"
        self.assertEqual(other.request("daemon_blacklist_status")["status"], 0)

    def test_health_checks_and_reflection_count_against_their_address(self):
        omd = self.start_omd(node_conf={"limits": {"calls_per_second": "1", "call_burst": "10"}})
        guest = self.guest_of(omd)
        errors = self.refusals(lambda: guest.call("grpc.health.v1.Health.Check"), 60)
        self.assertGreater(len(errors), 20)
        for error in errors:
            self.assertEqual((error.code, error.reason),
                             (CODE.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS"))
            self.assert_retry_told(error)

        def reflect():
            list(guest.requests("grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo",
                                [{"list_services": "*"}]))

        def watch():
            stream = guest.stream("grpc.health.v1.Health.Watch")
            next(stream)
            stream.cancel()

        for call in (reflect, watch):
            errors = self.refusals(call, 20)
            self.assertGreater(len(errors), 5)
            self.assertLessEqual({error.code for error in errors},
                                 {CODE.CANCELLED, CODE.RESOURCE_EXHAUSTED})
        self.assertGreater(omd.counters()["limits.calls_refused"], 30)
        # The local socket and other addresses are heard as before.
        for _ in range(30):
            omd.grpc.call("grpc.health.v1.Health.Check")
        other = omd.packet()
        other.source_address = "127.0.0.9"
        self.assertEqual(other.request("daemon_blacklist_status")["status"], 0)
        wait_for(lambda: not self.refusals(lambda: guest.call("grpc.health.v1.Health.Check"), 1),
                 "the address is served again", interval=1)

    def test_streams_are_limited_by_caller_and_in_total(self):
        omd = self.start_omd(node_conf={"limits": {"streams": "5", "streams_per_caller": "3"}})
        guest = self.guest_of(omd)

        def watch(api):
            stream = api.stream("DaemonService.WatchStatus")
            self.addCleanup(stream.cancel)
            next(stream)
            return stream

        held = [watch(guest) for _ in range(3)]
        error = self.refusals(lambda: watch(guest), 1)[0]
        self.assertEqual((error.code, error.reason), (CODE.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS"))
        self.assert_retry_told(error)
        # Root may still, until all are taken.
        mine = [watch(omd.grpc) for _ in range(2)]
        error = self.refusals(lambda: watch(omd.grpc), 1)[0]
        self.assertEqual(error.reason, "TOO_MANY_STREAMS")
        counters = omd.counters()
        self.assertEqual((counters["limits.streams"], counters["limits.streams_refused"]), (5, 2))
        for stream in held + mine:
            stream.cancel()
        wait_for(lambda: omd.counters()["limits.streams"] == 0, "all places are free again")
        watch(guest)

    def test_packet_streams_count_among_the_streams_of_their_address(self):
        omd = self.start_omd(node_conf={"limits": {"streams": "4", "streams_per_caller": "2"}})
        options = {"events": {}, "node_logs": {"backlog": 0}}  # Both go on for ever.

        def reader(client, action):
            sock = client.connect()
            self.addCleanup(sock.close)
            sock.settimeout(30)
            sock.sendall(client.encode({"action": action, "options": options[action]}) + b"\0")
            return sock

        def open_streams(count):
            wait_for(lambda: omd.counters().get("limits.streams", 0) == count,
                     "%d streams are open" % count)

        held = [reader(omd.packet(), "events"), reader(omd.packet(), "node_logs")]
        open_streams(2)
        for action in ("events", "node_logs"):
            with self.subTest(action):
                refused = omd.packet().request(action, options[action])
                self.assertEqual(refused["status"], 1)
                self.assertIn("limits.streams_per_caller", str(refused["error"]))
        self.assertEqual(omd.counters()["limits.streams_refused"], 2)
        # Another address and root may, until all are taken; plain requests are heard throughout.
        other = omd.packet()
        other.source_address = "127.0.0.9"
        held.append(reader(other, "events"))
        open_streams(3)
        held.append(reader(omd.local, "node_logs"))
        open_streams(4)
        self.assertIn("limits.streams", str(omd.local.request("events")["error"]))
        error = self.refusals(lambda: next(self.guest_of(omd).stream("DaemonService.WatchStatus")),
                              1)[0]
        self.assertEqual((error.code, error.reason), (CODE.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS"))
        self.assertEqual(omd.packet().request("daemon_blacklist_status")["status"], 0)
        for sock in held:
            sock.close()
        open_streams(0)
        reader(omd.packet(), "events")
        open_streams(1)

    def test_actions_are_limited_by_caller_and_in_total(self):
        omd = self.start_omd(node_conf={"crm": {"node_command": "sh -c"},
                                        "limits": {"actions": "3", "actions_per_caller": "1"}})

        def start(client):
            return client.request("node_action", {"cmd": ["om", "node", "sleep 86400"],
                                                  "sync": False})

        def run(node):
            client = omd.packet()
            client.source_address = node
            return start(client)

        self.assertEqual(run("127.0.0.1")["status"], 0)
        self.assertNotEqual(run("127.0.0.1")["status"], 0)
        self.assertEqual(run("127.0.0.2")["status"], 0)
        self.assertEqual(start(omd.local)["status"], 0)  # Root has no limit of its own,
        self.assertNotEqual(start(omd.local)["status"], 0)  # but the total holds for all.
        self.assertEqual(omd.counters()["action.refused"], 2)
        error = self.refusals(lambda: omd.grpc.call(
            "ActionService.RunAction", asynchronous=True,
            command={"arguments": [b"sleep 86400"]}), 1)[0]
        self.assertEqual((error.code, error.reason), (CODE.RESOURCE_EXHAUSTED, "TOO_MANY_ACTIONS"))
        self.assert_retry_told(error)
        for action in omd.grpc.call("ActionService.ListActions", only_running=True).actions:
            omd.grpc.call("ActionService.KillAction", action_id=action.id, signal="KILL")
        wait_for(lambda: omd.counters()["action.running"] == 0, "the commands have ended")
        self.assertEqual(run("127.0.0.1")["status"], 0)

    def test_messages_are_limited(self):
        omd = self.start_omd(node_conf={"limits": {"message_size": "64k"}})
        error = self.assert_rpc_error(
            CODE.RESOURCE_EXHAUSTED, omd.grpc.call, "BlacklistService.ClearEntries",
            sender="x" * (65 << 10))
        self.assertIn("65536", error.text)
        omd.grpc.call("BlacklistService.ClearEntries", sender="10.0.0.1")

    def test_a_watcher_may_be_behind_only_so_far(self):
        omd = self.start_omd(node_conf={"limits": {"watch_changes": "16"}})
        omd.write_service("svc1", {})
        wait_for(lambda: any(item.path == "svc1" for item in
                             omd.grpc.call("DaemonService.GetStatus").objects), "svc1 is known")
        stream = omd.grpc.stream("DaemonService.WatchStatus")
        self.addCleanup(stream.cancel)
        token = next(message.resume_token for message in stream
                     if message.HasField("state_end"))
        stream.cancel()

        def gone():
            for order in ("frozen", "thawed"):
                omd.grpc.call("MonitorService.SetInstanceMonitor", path="svc1",
                              global_expect=order)
            again = omd.grpc.stream("DaemonService.WatchStatus", resume_token=token)
            try:
                next(again)
            except grpc.RpcError as error:
                self.assertEqual((error.code(), grpc_api.Error(error).reason),
                                 (CODE.OUT_OF_RANGE, "REVISION_GONE"))
                return True
            finally:
                again.cancel()
            return False

        wait_for(gone, "the token is too old")
        # From the beginning it goes on.
        fresh = omd.grpc.stream("DaemonService.WatchStatus")
        self.addCleanup(fresh.cancel)
        next(fresh)

    def test_connections_of_an_address_are_limited(self):
        omd = self.start_omd(node_conf={"listener": {"max_connections_per_addr": "4"}})
        held = []
        self.addCleanup(lambda: [sock.close() for sock in held])

        def open_one():
            sock = socket.create_connection(("127.0.0.1", omd.grpc_port), 10)
            held.append(sock)
            sock.settimeout(30)
            return sock

        def full():
            open_one()
            return omd.counters().get("rpc.accept.refused_address", 0)

        wait_for(full, "a connection is refused", interval=0)
        omd.grpc.call("DaemonService.GetStatus")
        for sock in held:
            sock.close()
        wait_for(lambda: self.guest_of(omd).call("DaemonService.GetStatus"), "guests are served")

    def closed(self, sock):
        """Whether the other side has hung up; one that serves says nothing, or its settings."""
        sock.settimeout(0.2)
        try:
            while True:
                if not sock.recv(4096):
                    return True
        except socket.timeout:
            return False
        except ConnectionResetError:
            return True

    def open(self, socks):
        """How many of these the other side has not hung up."""
        return sum(not self.closed(sock) for sock in socks)

    def test_connections_are_limited_in_total_and_root_has_a_reserve(self):
        # Of 20 gRPC connections 16 are root's; of 4 all but one.
        for most, of_guests in ((20, 4), (4, 1)):
            with self.subTest(most=most):
                omd = self.start_omd(node_conf={"listener": {"max_connections": str(most)}})
                for port, room, counter in ((omd.grpc_port, of_guests, "rpc.accept.refused_total"),
                                            (omd.port, most, "packet.refused")):
                    # Not yet counted against a flood: this test's own channel is root's.
                    omd.drop_channel()
                    wait_for(lambda: omd.counters(), "root is heard")
                    held = []

                    def flooded(port=port, held=held, counter=counter):
                        held.append(socket.create_connection(("127.0.0.1", port), 10))
                        return omd.counters().get(counter, 0)

                    wait_for(flooded, "a connection is refused at port %d" % port, interval=0)
                    # The kernel lets in more than the daemon has looked at; these it closes.
                    wait_for(lambda held=held, room=room: self.open(held) <= room,
                             "no more than %d stay open at port %d" % (room, port))
                    # Root is heard at both local doors.
                    omd.grpc.call("DaemonService.GetStatus")
                    self.assertEqual(omd.local.request("daemon_blacklist_status")["status"], 0)
                    for sock in held:
                        sock.close()

                def served():
                    try:
                        with omd.guest() as guest:
                            guest.call("DaemonService.GetStatus", timeout=5)
                        return omd.packet().request("daemon_blacklist_status")["status"] == 0
                    except (grpc.RpcError, OSError):
                        return False

                wait_for(served, "others are served again")

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_connections_of_a_local_user_are_limited(self):
        omd = self.start_omd(node_conf={"limits": {"connections_per_user": "3"}})
        for folder in (omd.root, omd.var, os.path.dirname(omd.grpc_socket)):
            os.chmod(folder, 0o755)
        # Holds three connections, reads the end of the fourth, and lets go when it is told.
        program = (
            "import os, socket, sys\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(int(sys.argv[2]))\n"
            "held = [socket.socket(socket.AF_UNIX) for _ in range(int(sys.argv[3]))]\n"
            "for sock in held: sock.connect(sys.argv[1])\n"
            "for sock in held[3:]:\n"
            "    try:\n"
            "        while sock.recv(4096): pass\n"
            "    except ConnectionResetError: pass\n"
            "print('held', flush=True)\n"
            "sys.stdin.read()\n")

        def user(uid, count):
            process = subprocess.Popen(
                [sys.executable, "-c", program, omd.grpc_socket, str(uid), str(count)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)

            def leave():
                process.stdin.close()
                process.wait()
                process.stdout.close()

            self.addCleanup(leave)
            self.assertEqual(process.stdout.readline(), b"held\n")
            return leave

        leave = user(65534, 4)
        self.assertEqual(omd.counters()["rpc.accept.refused_user"], 1)
        # Another user and root are let in.
        user(65533, 3)
        omd.drop_channel()
        self.assertEqual(omd.counters()["rpc.accept.refused_user"], 1)
        leave()
        user(65534, 3)
        self.assertEqual(omd.counters()["rpc.accept.refused_user"], 1)

    def futures(self, api, name, count, **fields):
        function, request = api.method(name)
        return [function.future(request(**fields), timeout=120) for _ in range(count)]

    def test_work_that_waits_for_a_thread_is_limited(self):
        omd = self.start_omd(node_conf={"limits": {"work_queue": "16"}})
        guest = self.guest_of(omd)
        omd.wait_idle()

        def update(count):
            return self.futures(omd.grpc, "ConfigService.UpdateConfig", count,
                                target={"node": True},
                                set=[{"name": "node.env", "value": "TST"}])

        # Another editor keeps the two threads waiting.
        lock_path = os.path.join(omd.var, "lock", "config.lock")
        os.makedirs(os.path.dirname(lock_path), exist_ok=True)
        with open(lock_path, "a", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            calls = update(60)
            wait_for(lambda: sum(call.done() for call in calls) >= 40,
                     "what is too much is refused")
            # What needs no such thread goes on.
            guest.call("DaemonService.ListThreads")
            self.assertGreaterEqual(omd.counters()["limits.work_refused"], 40)
        errors = [grpc_api.Error(call.exception()) for call in calls if call.exception()]
        refused = [error for error in errors if error.reason == "LIMIT_REACHED"]
        self.assertGreaterEqual(len(refused), 40)
        for error in refused:
            self.assertEqual(error.code, CODE.RESOURCE_EXHAUSTED)
            self.assert_retry_told(error)
        # Those that had a place were served, or were told of the other editor.
        self.assertEqual({error.reason for error in errors} - {"LIMIT_REACHED", "CONFIG_LOCKED"},
                         set())
        self.assertIsNone(update(1)[0].exception())

    def test_records_that_wait_for_the_disk_are_limited(self):
        omd = self.start_omd(node_conf={"crm": {"node_command": "sh -c"},
                                        "limits": {"journal_queue": "2m"}})
        omd.write_service("svc1", {})
        wait_for(lambda: any(item.path == "svc1" for item in
                             omd.grpc.call("DaemonService.GetStatus").objects), "svc1 is known")
        omd.wait_idle()
        guest = self.guest_of(omd)
        function, request = omd.grpc.method("ActionService.RunAction")
        waiting = []

        def run(size, count, refused):
            """Commands whose answers, of so many bytes, are to be remembered; the last ones find
            no room for that, and are answered, for they were run."""
            word = "head -c %d /dev/zero | tr '\\0' x" % size
            calls = [function.future(request(
                command={"arguments": [word.encode()]}, request_id=str(uuid.uuid4())), timeout=120)
                for _ in range(count)]
            waiting.extend(calls)
            wait_for(lambda: sum(call.done() for call in calls) >= refused,
                     "no more answers of %d bytes fit" % size)

        with HeldThreads(omd.process.pid, "journal"):
            run(60000, 40, 6)
            run(6000, 20, 9)
            run(600, 20, 9)
            order, order_request = omd.grpc.method("MonitorService.SetInstanceMonitor")
            orders = [order.future(order_request(path="svc1", global_expect="frozen",
                                                 request_id=str(uuid.uuid4())), timeout=120)
                      for _ in range(20)]
            wait_for(lambda: any(call.done() for call in orders), "an order is refused")
            for call in orders:
                if call.done():
                    error = grpc_api.Error(call.exception())
                    self.assertEqual((error.code, error.reason),
                                     (CODE.RESOURCE_EXHAUSTED, "JOURNAL_BUSY"))
                    self.assert_retry_told(error)
            self.assertGreater(omd.counters()["journal.errors"], 0)
            # Who changes nothing notices nothing.
            guest.call("DaemonService.GetStatus")
        for call in waiting:
            self.assertEqual(call.result().action.exit_code, 0)
        for call in orders:
            call.exception()
        omd.grpc.call("MonitorService.SetInstanceMonitor", path="svc1", global_expect="thawed")
        omd.wait_idle()

    def test_a_limit_out_of_its_range_is_told_with_its_place(self):
        omd = self.start_omd(start=False,
                             node_conf={"limits": {"call_burst": "0"}})
        omd.expected_exit = {1}
        omd.start(wait=False)
        self.assertNotEqual(omd.wait_exit(), 0)
        self.assertRegex(omd.output_text(), r"node\.conf.*call_burst.*1")


if __name__ == "__main__":
    unittest.main()

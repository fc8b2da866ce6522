#!/usr/bin/python3
"""Bad input: a clear error or a closed connection, counted, and the others are served on."""

import base64
import json
import os
import random
import select
import socket
import sys
import time
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import grpc_api  # noqa: E402
from harness import (CLUSTER, SECRET, App, OmdTestCase, grpc, legacy,  # noqa: E402
                     memory_limit, raise_descriptor_limit, seed_from_environment, wait_for)

MIB = 1 << 20


def closed_by_server(sock, deadline_seconds=60):
    """Whether the server ends the connection without a byte; anything that it sends is returned."""
    end = time.monotonic() + deadline_seconds
    data = b""
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([sock], [], [], left)[0]:
            raise AssertionError("the server keeps the connection open after %d s" % deadline_seconds)
        try:
            part = sock.recv(65536)
        except ConnectionResetError:
            return data
        if not part:
            return data
        data += part


def send_all(sock, data):
    """Sends until the server has had enough; returns how much it took."""
    sent = 0
    try:
        while sent < len(data):
            sent += sock.send(data[sent:sent + 65536])
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


class BadInputTest(OmdTestCase):
    OMD = {"nodes": ("node1", "node2"), "node_conf": {
        "listener": {"max_connections": 40, "max_connections_per_addr": 15,
                     "request_timeout": "3s"}}}

    @classmethod
    def setUpClass(cls):
        raise_descriptor_limit()
        super().setUpClass()

    @classmethod
    def prepare(cls, omd):
        cls.app = App(omd)

    def setUp(self):
        self.omd.clear_blacklist()
        self.before = self.omd.counters()

    def tearDown(self):
        self.omd.clear_blacklist()
        self.assert_serves()

    def assert_serves(self):
        """Every door answers, and the process is the one that was started."""
        self.assertIsNone(self.omd.process.poll(), "omd has ended")
        self.assertEqual(self.omd.local.request("daemon_blacklist_status")["status"], 0)
        # The kernel may still hand over connections of the test before.
        wait_for(self.packet_answers, "the packet port answers")
        self.assertEqual(self.omd.grpc.call("DaemonService.GetStatus").daemon.pid, self.omd.pid)

    def packet_answers(self, source=None):
        client = self.omd.packet("node2")
        client.source_address = source
        try:
            reply = client.request("daemon_blacklist_status")
        except (OSError, legacy.ReplyTimeout):
            return False
        return reply is not None and reply["status"] == 0

    def assert_counted(self):
        """Some counter of refusals has grown."""
        def grown():
            after = self.omd.counters()
            return [name for name, value in after.items() if value > self.before.get(name, 0)
                    and any(word in name for word in ("invalid", "refused", "dropped", "oversize",
                                                      "too_", "timeout", "slow", "closed",
                                                      "malformed", "shed", "ignored", "error",
                                                      "rejected", "limit", "cap"))]

        wait_for(grown, lambda: "a counter grew; now %s" % self.omd.counters(), 20)

    # ------------------------------------------------------------------------------------- size

    def test_an_oversized_packet_is_cut_off(self):
        for half_close in (False, True):
            with self.omd.packet("node2").connect() as sock:
                send_all(sock, b'{"clustername": "demo", "x": "' + b"y" * (8 * MIB))
                if half_close:
                    try:
                        sock.shutdown(socket.SHUT_WR)
                    except OSError:
                        pass
                self.assertEqual(closed_by_server(sock), b"")
        self.assert_counted()

    def test_a_packet_just_under_the_limit_is_answered_and_one_over_it_is_not(self):
        client = self.omd.packet("node2")
        envelope = json.loads(client.encode({"action": "daemon_blacklist_status"}))
        for total, answered in ((MIB - 64, True), (MIB + 64, False)):
            # Fresh each time: the envelope itself must not be a replay.
            envelope = json.loads(client.encode({"action": "daemon_blacklist_status"}))
            envelope["filler"] = ""
            envelope["filler"] = "f" * (total - len(json.dumps(envelope)))
            raw = client.raw(json.dumps(envelope).encode() + b"\0")
            self.assertEqual(bool(raw), answered, total)

    def test_an_oversized_request_on_the_clear_socket_is_cut_off(self):
        with self.omd.local.connect() as sock:
            send_all(sock, b'{"action": "' + b"y" * (8 * MIB))
            reply = closed_by_server(sock)
        if reply:  # A local caller may be told why.
            self.assertEqual(json.loads(reply.rstrip(b"\0"))["status"], 1)

    def test_a_zip_bomb_is_stopped_early(self):
        before = self.omd.memory_bytes()
        bomb = zlib.compressobj(9)
        text = b'{"action": "daemon_status", "x": "'
        compressed = bomb.compress(text) + b"".join(
            bomb.compress(b"y" * MIB) for _ in range(600)) + bomb.flush()
        self.assertLess(len(compressed), 700_000)
        packet = json.dumps(legacy.seal_compressed(compressed, SECRET, CLUSTER, "node2"))
        for _ in range(4):
            self.assertEqual(self.omd.packet("node2").raw(packet.encode() + b"\0"), b"")
            packet = json.dumps(legacy.seal_compressed(compressed, SECRET, CLUSTER, "node2"))
        self.assertLess(self.omd.memory_bytes() - before, memory_limit(200 * MIB))
        self.assert_counted()

    def test_deeply_nested_json_is_refused(self):
        for depth in (1000, 100_000):
            for opening, closing in (("[", "]"), ('{"a":', "}")):
                nested = opening * depth + "1" + closing * depth
                with self.subTest(depth=depth, kind=opening):
                    text = '{"action": "daemon_status", "options": {"x": %s}}' % nested
                    reply = self.omd.local.raw(text.encode() + b"\0").rstrip(b"\0")
                    self.assertEqual(json.loads(reply)["status"], 1)
                    # Outside the envelope: silence; inside: an answer, but never a crash.
                    self.assertEqual(self.omd.packet("node2").raw(
                        ('{"clustername": "demo", "x": %s}' % nested).encode() + b"\0"), b"")
                    sealed = json.dumps(legacy.seal_text(text, SECRET, CLUSTER, "node2"))
                    reply = self.omd.packet("node2").raw(sealed.encode() + b"\0").rstrip(b"\0")
                    if reply:
                        self.assertEqual(legacy.open_sealed(reply, SECRET, CLUSTER)["status"], 1)

    # ------------------------------------------------------------------------------------- time

    def test_a_sender_that_trickles_is_closed_at_its_deadline_and_delays_nobody(self):
        for connect in (self.omd.packet("node2").connect, self.omd.local.connect):
            with connect() as sock:
                sock.setblocking(False)
                end = time.monotonic() + 60
                closed = False
                while not closed:
                    self.assertLess(time.monotonic(), end, "still open")
                    try:
                        sock.send(b" ")
                    except (BrokenPipeError, ConnectionResetError):
                        closed = True
                    except BlockingIOError:
                        pass
                    # The others are served while this one trickles.
                    self.assertEqual(
                        self.omd.local.request("daemon_blacklist_status")["status"], 0)
                    if select.select([sock], [], [], 0.2)[0]:
                        try:
                            closed = closed or sock.recv(1000) == b""
                        except ConnectionResetError:
                            closed = True

    def test_half_open_connections_are_closed_at_their_deadline(self):
        socks = [self.omd.packet("node2").connect() for _ in range(10)]
        try:
            self.assertTrue(self.packet_answers())
            for sock in socks:
                self.assertEqual(closed_by_server(sock), b"")
        finally:
            for sock in socks:
                sock.close()
        self.assert_counted()

    def test_a_client_that_does_not_read_its_reply_holds_nothing_up(self):
        socks = []
        try:
            for _ in range(10):
                client = self.omd.packet("node2")
                sock = client.connect()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                sock.sendall(client.encode({"action": "daemon_status"}) + b"\0")
                socks.append(sock)
            self.assertTrue(self.packet_answers())
        finally:
            for sock in socks:
                sock.close()

    def test_a_client_that_resets_in_the_middle_harms_nobody(self):
        for index in range(200):
            client = self.omd.packet("node2")
            data = client.encode({"action": "daemon_status"}) + b"\0"
            sock = client.connect()
            sock.sendall(data[:len(data) * (index % 5 + 1) // 5])
            # Linger of zero: close() sends a reset.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            b"\x01\0\0\0\0\0\0\0")
            sock.close()

    # ------------------------------------------------------------------------------ connections

    def flood(self, addresses, each):
        socks = []
        for address in addresses:
            for _ in range(each):
                client = self.omd.packet("node2")
                client.source_address = address
                try:
                    socks.append(client.connect())
                except OSError:
                    pass
        return socks

    def closed_count(self, socks):
        """How many the server has ended."""
        count = 0
        for sock in select.select(socks, [], [], 0)[0]:
            try:
                count += sock.recv(1, socket.MSG_PEEK) == b""
            except ConnectionResetError:
                count += 1
        return count

    def test_connections_beyond_the_cap_of_an_address_are_closed_and_others_get_in(self):
        socks = self.flood(["127.0.0.21"], 30)
        try:
            wait_for(lambda: self.closed_count(socks) >= len(socks) - 15, "the surplus is closed")
            self.assertTrue(self.packet_answers("127.0.0.22"))
        finally:
            for sock in socks:
                sock.close()
        self.assert_counted()
        wait_for(lambda: self.packet_answers("127.0.0.21"), "the address is served again")

    def test_connections_beyond_the_cap_in_all_are_closed_and_the_local_doors_stay(self):
        socks = self.flood(["127.0.0.%d" % number for number in range(31, 38)], 12)
        try:
            wait_for(lambda: self.closed_count(socks) >= len(socks) - 40, "the surplus is closed")
            # The way out: a flooded port does not lock the operator out.
            self.assertEqual(self.omd.local.request("daemon_blacklist_status")["status"], 0)
            self.assertEqual(self.omd.grpc.call("DaemonService.GetStatus").daemon.pid, self.omd.pid)
        finally:
            for sock in socks:
                sock.close()
        self.assert_counted()

    # ---------------------------------------------------------------------------------- options

    VALUES = (None, True, False, 0, -1, 1.5, 1e308, 2 ** 63, 2 ** 70, "", "x", "\0", "a\0b", "é" * 9,
              [], [1], ["svc1"], {}, {"a": 1}, [[["x"]]], "x" * 100_000)
    OPTIONS = {
        "daemon_blacklist_status": (), "daemon_blacklist_clear": (), "nodes_info": (),
        "daemon_status": ("refresh", "selector", "namespace", "relatives"),
        "daemon_stats": ("svcpaths", "selector", "namespace"),
        "daemon_start": ("thr_id",), "get_node_config": ("format",),
        "get_service_config": ("svcpath", "svcname", "path", "format", "evaluate", "impersonate"),
        "set_service_monitor": ("svcpath", "status", "local_expect", "global_expect",
                                "reset_retries", "stonith"),
        "clear": ("svcpath",), "wake_monitor": ("svcpath", "reason", "immediate"),
    }

    def test_every_option_of_a_wrong_type_is_answered(self):
        asked = 0
        for action, names in self.OPTIONS.items():
            for name in names + ("unknown_option",):
                for value in self.VALUES:
                    options = {name: value}
                    if action == "set_service_monitor" and name != "svcpath":
                        options["svcpath"] = "svc1"
                    if action == "get_service_config" and name in ("format", "evaluate",
                                                                   "impersonate"):
                        options.update(svcpath="svc1", format=options.get("format", "json"))
                    with self.subTest(action=action, option=name, value=repr(value)[:40]):
                        reply = self.omd.local.request(action, options)
                        self.assertIsInstance(reply, dict)
                        if "error" in reply:
                            self.assertNotIn(reply.get("status"), (0, None))
                        self.assertLess(len(json.dumps(reply)), 4 * MIB)
                        asked += 1
        self.assertGreater(asked, 400)
        self.assertEqual(self.app.processes(), [])

    def test_unknown_options_are_ignored(self):
        for action in ("daemon_blacklist_status", "nodes_info", "daemon_status", "daemon_stats"):
            reply = self.omd.local.request(action, {"whatever": {"a": [1]}, "": 1, "é": None})
            self.assertEqual(reply.get("status", 0), 0)
            self.assertNotIn("error", reply)

    def test_every_key_of_the_request_of_a_wrong_type_is_answered(self):
        for key in ("action", "options", "node", "method", "multiplexed"):
            for value in self.VALUES:
                if key == "node" and value in (None, "", []):
                    continue
                request = {"action": "daemon_blacklist_status", "options": {}}
                request[key] = value
                with self.subTest(key=key, value=repr(value)[:40]):
                    self.assertIsInstance(self.omd.local.request_value(request), dict)

    def test_embedded_nuls_end_nothing_early_and_are_refused(self):
        # Two requests in one write are one malformed message.
        two = b'{"action": "daemon_blacklist_status"}\0{"action": "daemon_blacklist_status"}\0'
        reply = self.omd.local.raw(two)
        self.assertEqual(json.loads(reply.rstrip(b"\0")),
                         {"error": "invalid data format", "status": 1})
        packet = self.omd.packet("node2").encode({"action": "daemon_blacklist_status"})
        self.assertEqual(self.omd.packet("node2").raw(packet + b"\0" + packet + b"\0"), b"")
        # Whole, in one write, or in the middle of a text.
        reply = self.omd.local.raw(b'{"action": "daemon\0_status"}\0')
        self.assertEqual(json.loads(reply.rstrip(b"\0"))["status"], 1)
        for text in ('{"action": "daemon_status\\u0000"}',
                     '{"action": "clear", "options": {"svcpath": "svc1\\u0000"}}'):
            reply = json.loads(self.omd.local.raw(text.encode() + b"\0").rstrip(b"\0"))
            self.assertNotEqual(reply["status"], 0)

    # ----------------------------------------------------------------------------------- random

    def test_ten_thousand_mutations_of_valid_packets(self):
        rng = random.Random(seed_from_environment())
        client = self.omd.packet("node2")
        requests = [{"action": "daemon_blacklist_status"},
                    {"action": "get_node_config", "options": {"format": "json"}},
                    {"action": "set_service_monitor", "options": {"svcpath": "svc1"}}]
        self.omd.local.request("daemon_blacklist_clear")
        memory = self.omd.memory_bytes()
        answered = 0
        for number in range(10_000):
            kind = number % 4
            request = rng.choice(requests)
            if kind == 0:  # The bytes of the packet.
                data = mutate(rng, client.encode(request))
            elif kind == 1:  # The ciphertext.
                envelope = json.loads(client.encode(request))
                raw = base64.urlsafe_b64decode(envelope["data"])
                envelope["data"] = base64.urlsafe_b64encode(mutate(rng, raw)).decode()
                data = json.dumps(envelope).encode()
            elif kind == 2:  # What is sealed.
                text = mutate(rng, json.dumps(request).encode())
                data = json.dumps(legacy.seal_text(text, SECRET, CLUSTER, "node2")).encode()
            else:  # What is compressed.
                text = mutate(rng, zlib.compress(json.dumps(request).encode()))
                data = json.dumps(legacy.seal_compressed(text, SECRET, CLUSTER, "node2")).encode()
            # Addresses in turn, so that most are looked at before they are blacklisted.
            client.source_address = "127.%d.%d.%d" % (
                rng.randrange(1, 250), rng.randrange(250), rng.randrange(1, 250))
            answered += self.send_and_close(client, data + b"\0")
            if number % 1000 == 999:
                self.assert_serves()
        self.assertGreater(answered, 0)
        self.assertLess(self.omd.memory_bytes() - memory, memory_limit(150 * MIB))

    def send_and_close(self, client, data):
        """Sends, waits for the end, and says whether there was an answer."""
        with client.connect() as sock:
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return bool(closed_by_server(sock))

    def test_a_flood_of_addresses_is_bounded(self):
        """The blacklist forgets, rather than grow for ever; its listing is paged."""
        memory = self.omd.memory_bytes()
        client = self.omd.packet("node2")
        for number in range(3000):
            client.source_address = "127.%d.%d.1" % (100 + number // 250, number % 250)
            bad = legacy.seal({}, SECRET[::-1], CLUSTER, "node2")
            self.send_and_close(client, bad + b"\0")
        self.assertLess(self.omd.memory_bytes() - memory, memory_limit(100 * MIB))
        addresses = []
        token = ""
        while True:
            page = self.omd.grpc.call("BlacklistService.ListEntries", page_size=700,
                                      page_token=token)
            self.assertLessEqual(len(page.entries), 700)
            addresses += [entry.address for entry in page.entries]
            token = page.next_page_token
            if not token:
                break
        self.assertEqual(len(addresses), len(set(addresses)))
        self.assertGreater(len(addresses), 1000)
        self.assertIsInstance(self.omd.blacklist(), dict)

    def test_garbage_on_the_grpc_doors_harms_nobody(self):
        rng = random.Random(seed_from_environment())
        for number in range(60):
            if number % 2:
                sock = socket.create_connection(("127.0.0.1", self.omd.grpc_port), 10)
            else:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                sock.connect(self.omd.grpc_socket)
            with sock:
                prefix = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if number % 3 else b""
                send_all(sock, prefix + rng.randbytes(rng.randrange(1, 4000)))
        with grpc_api.Api("127.0.0.1:%d" % self.omd.grpc_port) as guest:
            self.assertEqual(guest.call("DaemonService.GetStatus").daemon.pid, self.omd.pid)

    def test_too_large_a_message_over_grpc_is_refused(self):
        self.assert_rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, self.omd.grpc.call,
                              "DaemonService.GetStatus", selector="x" * (9 * MIB))


def mutate(rng, data):
    """One to four small damages."""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data)) if data else 0
        damage = rng.randrange(5)
        if damage == 0 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif damage == 1 and data:
            data[at] = rng.randrange(256)
        elif damage == 2:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif damage == 3:
            del data[at:at + rng.randrange(1, 17)]
        else:
            data[at:at] = data[at:at + rng.randrange(1, 33)]
    return bytes(data)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""The tests' own legacy client: envelopes against recorded ones, reading against a fake server."""

import base64
import hashlib
import json
import os
import socket
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import legacy_client as legacy  # noqa: E402

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "compat")
SECRET = "0123456789abcdef0123456789abcdef"


def golden(name):
    with open(os.path.join(GOLDEN, name), encoding="utf-8") as stream:
        return json.load(stream)


class EnvelopeTest(unittest.TestCase):
    def test_every_recorded_envelope_is_sealed_byte_for_byte_and_opened(self):
        sealed = 0
        for vector in golden("crypto.json")["vectors"]:
            with self.subTest(vector["name"]):
                self.assertEqual(legacy.key_of(vector["secret"]).hex(), vector["key_hex"])
                if vector["expected"] == "error":
                    with self.assertRaises(ValueError):
                        legacy.seal_text("{}", vector["secret"], "demo", "node1")
                    continue
                compressed = base64.urlsafe_b64decode(vector["zlib_b64"])
                envelope = legacy.seal_compressed(
                    compressed, vector["secret"], vector["clustername"], vector["nodename"],
                    base64.urlsafe_b64decode(vector["iv_b64"]))
                self.assertEqual(envelope, vector["envelope"])
                wire = json.dumps(envelope).encode()
                self.assertIn(vector["wire_sha256"],
                              (hashlib.sha256(wire).hexdigest(),
                               hashlib.sha256(wire + b"\0").hexdigest()))
                plain = legacy.open_text(vector["envelope"], vector["secret"])
                if "plaintext_b64" in vector:
                    self.assertEqual(plain, base64.b64decode(vector["plaintext_b64"]))
                else:
                    self.assertEqual(plain.decode(), vector["plaintext_json"])
                sealed += 1
        self.assertEqual(sealed, 26)

    def test_two_envelopes_of_one_request_differ(self):
        first = legacy.seal({"action": "x"}, SECRET, "demo", "node1")
        self.assertNotEqual(first, legacy.seal({"action": "x"}, SECRET, "demo", "node1"))

    def test_envelopes_recorded_from_command_lines_open_to_the_recorded_values(self):
        opened = 0
        folder = os.path.join(GOLDEN, "transcripts")
        for name in sorted(os.listdir(folder)):
            record = golden(os.path.join("transcripts", name))
            if "request_envelope" not in record or "<undecodable>" in record["request"]:
                continue
            with self.subTest(name):
                raw = json.dumps(record["request_envelope"]).encode()
                self.assertEqual(legacy.open_sealed(raw, SECRET), record["request"])
                for envelope, reply in zip(record.get("reply_envelopes", []), record["replies"]):
                    raw = json.dumps(envelope).encode()
                    self.assertEqual(legacy.open_sealed(raw, SECRET), reply)
                opened += 1
        self.assertGreater(opened, 20)

    def test_a_reply_of_another_cluster_or_key_is_refused(self):
        raw = legacy.seal({"status": 0}, SECRET, "other", "node1")
        with self.assertRaises(legacy.BrokenReply):
            legacy.open_sealed(raw, SECRET, "demo")
        self.assertEqual(legacy.open_sealed(raw, SECRET), {"status": 0})
        with self.assertRaises(legacy.BrokenReply):
            legacy.open_sealed(raw, SECRET[::-1])


class ScriptedSource:
    """Plays (seconds of silence, bytes) pairs on a clock of its own; b"" is the end."""

    def __init__(self, *events):
        self.events = []
        at = 0.0
        for silence, data in events:
            at += silence
            self.events.append((at, data))
        self.now = 0.0

    def readable(self, seconds):
        if self.events and self.events[0][0] <= self.now + seconds:
            self.now = max(self.now, self.events[0][0])
            return True
        self.now += seconds
        return False

    def recv(self, size):
        at, data = self.events[0]
        if len(data) > size:
            self.events[0] = (at, data[size:])
            return data[:size]
        self.events.pop(0)
        return data

    def pause(self, seconds):
        self.now += seconds


REPLY = json.dumps({"status": 0, "data": {"x": "y" * 200}}).encode()
CLOSE = (0, b"")


class ReadReplyTest(unittest.TestCase):
    """The cases of client_behaviour.json, on scripted time."""

    def read(self, *events, timeout=5):
        return legacy.read_reply(ScriptedSource(*events), timeout, forgets=True).rstrip(b"\0")

    def test_reply_and_nul_then_close(self):
        self.assertEqual(self.read((0, REPLY + b"\0"), CLOSE), REPLY)

    def test_reply_without_nul_then_close(self):
        self.assertEqual(self.read((0, REPLY), CLOSE), REPLY)

    def test_a_nul_in_a_read_of_its_own_ends_the_reply_though_the_connection_stays(self):
        self.assertEqual(self.read((0, REPLY + b"\0"), (0.1, b"\0"), (4, b"")), REPLY)

    def test_an_open_connection_after_reply_and_nul_loses_the_reply(self):
        self.assertEqual(self.read((0, REPLY + b"\0"), (4, b"")), b"")

    def test_three_seconds_of_silence_before_the_reply_do_no_harm(self):
        self.assertEqual(self.read((3, REPLY + b"\0"), CLOSE), REPLY)

    def test_eight_seconds_of_silence_are_too_long(self):
        with self.assertRaises(legacy.ReplyTimeout):
            self.read((8, REPLY + b"\0"), CLOSE)

    def test_without_a_timeout_the_client_waits(self):
        self.assertEqual(self.read((60, REPLY + b"\0"), CLOSE, timeout=None), REPLY)

    def test_a_short_pause_inside_the_reply_does_no_harm(self):
        self.assertEqual(self.read((0, REPLY[:100]), (0.5, REPLY[100:]), CLOSE), REPLY)

    def test_a_long_pause_inside_the_reply_loses_its_first_part(self):
        self.assertEqual(self.read((0, REPLY[:100]), (1.5, REPLY[100:]), CLOSE), REPLY[100:])

    def test_a_patient_client_loses_nothing_to_silence(self):
        for events in (((0, REPLY[:100]), (40, REPLY[100:]), CLOSE),
                       ((0, REPLY + b"\0"), (40, b""))):
            raw = legacy.read_reply(ScriptedSource(*events), 60)
            self.assertEqual(raw.rstrip(b"\0"), REPLY)
        with self.assertRaises(legacy.ReplyTimeout):
            legacy.read_reply(ScriptedSource((0, REPLY + b"\0"), (80, b"")), 60)

    def test_no_data_is_an_empty_reply(self):
        self.assertEqual(self.read(CLOSE), b"")
        self.assertEqual(self.read((0, b"\0"), CLOSE), b"")

    def test_two_messages_are_no_reply(self):
        raw = self.read((0, REPLY + b"\0" + REPLY + b"\0"), CLOSE)
        with self.assertRaises(legacy.BrokenReply):
            legacy.ClearClient("").decode(raw)

    def test_text_that_is_no_json_is_no_reply(self):
        with self.assertRaises(legacy.BrokenReply):
            legacy.ClearClient("").decode(self.read((0, b"hello\0"), CLOSE))

    def test_the_recorded_cases_are_all_covered(self):
        self.assertEqual(len(golden("client_behaviour.json")["unary"]["cases"]), 12)


class FakeServer:
    """Answers each connection with the next handler, in a thread of its own."""

    def __init__(self, family, address, *handlers):
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.bind(address)
        self.listener.listen(8)
        self.address = self.listener.getsockname()
        self.requests = []
        self.thread = threading.Thread(target=self.serve, args=(handlers,), daemon=True)
        self.thread.start()

    def serve(self, handlers):
        for handler in handlers:
            connection, _ = self.listener.accept()
            with connection:
                request = b""
                while not request.endswith(b"\0"):
                    part = connection.recv(4096)
                    if not part:
                        break
                    request += part
                self.requests.append(request)
                handler(connection, request)

    def close(self):
        self.thread.join(legacy.PATIENCE_SECONDS)
        self.listener.close()


class ClientTest(unittest.TestCase):
    def test_a_request_over_the_clear_socket(self):
        with tempfile.TemporaryDirectory(prefix="omlc-") as folder:
            path = os.path.join(folder, "lsnr.sock")
            server = FakeServer(socket.AF_UNIX, path,
                                lambda connection, _: connection.sendall(b'{"status": 0}\0'))
            client = legacy.ClearClient(path)
            self.assertEqual(client.request("daemon_blacklist_status", {}), {"status": 0})
            server.close()
            self.assertEqual(
                server.requests, [b'{"action": "daemon_blacklist_status", "options": {}}\0'])

    def test_a_request_over_the_sealed_port(self):
        def answer(connection, request):
            value = legacy.open_sealed(request.rstrip(b"\0"), SECRET, "demo")
            connection.sendall(legacy.seal({"echo": value}, SECRET, "demo", "node1") + b"\0")

        server = FakeServer(socket.AF_INET, ("127.0.0.1", 0), answer, lambda *_: None)
        client = legacy.SealedClient("127.0.0.1", server.address[1], SECRET, "demo", "node2")
        self.assertEqual(client.request("x", {"a": 1}, node="*", method="GET"),
                         {"echo": {"action": "x", "options": {"a": 1}, "node": "*",
                                   "method": "GET"}})
        self.assertIsNone(client.request("silence"))
        server.close()

    def test_a_stream_of_messages_with_keepalives(self):
        def answer(connection, _):
            connection.sendall(b'{"n": 1}\0\0\0{"n": 2}\0{"n"')
            connection.sendall(b": 3}\0")

        with tempfile.TemporaryDirectory(prefix="omlc-") as folder:
            path = os.path.join(folder, "lsnr.sock")
            server = FakeServer(socket.AF_UNIX, path, answer)
            stream = legacy.ClearClient(path).stream("events")
            self.assertEqual(list(stream.messages()), [{"n": 1}, {"n": 2}, {"n": 3}])
            stream.close()
            server.close()

    def test_the_command_prints_the_reply_and_exits_by_its_status(self):
        with tempfile.TemporaryDirectory(prefix="omlc-") as folder:
            path = os.path.join(folder, "lsnr.sock")
            server = FakeServer(socket.AF_UNIX, path,
                                lambda connection, _: connection.sendall(b'{"status": 0}\0'),
                                lambda connection, _: connection.sendall(b'{"status": 1}\0'))
            with open(os.devnull, "w", encoding="utf-8") as null:
                stdout, sys.stdout = sys.stdout, null
                try:
                    codes = [legacy.main(["--unix", path, "--timeout", "60", "clear",
                                          "svcpath=svc1"]) for _ in range(2)]
                finally:
                    sys.stdout = stdout
            server.close()
            self.assertEqual(codes, [0, 1])
            self.assertEqual(json.loads(server.requests[0].rstrip(b"\0")),
                             {"action": "clear", "options": {"svcpath": "svc1"}})


if __name__ == "__main__":
    unittest.main()

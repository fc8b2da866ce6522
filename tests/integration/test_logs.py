#!/usr/bin/python3
"""Logs over gRPC: what is there, and what is being written, whatever happens to the file meanwhile."""

import os
import signal
import subprocess
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import grpc  # noqa: E402
from grpc_api import Api, Error  # noqa: E402
from harness import OmdTestCase, memory_limit, wait_for  # noqa: E402

MIB = 1 << 20
BIG_MIB = int(os.environ.get("OM_BIG_LOG_MIB", "100"))  # 1024 on demand.
FOLLOWERS = 500
# So long a file that was rotated away is read on after it last grew.
LINGER_SECONDS = 10
# Of streams: a bound for a hopeless case.
SECONDS = 250


def line(number, level="INFO", rid="", text=""):
    """A line of svc1's log at a time that grows with its number."""
    return "2026-11-22 %02d:%02d:%02d,%03d - node1.svc1%s - %s - line %d%s\n" % (
        number // 3600 % 24, number // 60 % 60, number % 60, number % 1000,
        "." + rid if rid else "", level, number, text)


class Follower(threading.Thread):
    """Reads a stream of a log to its end and keeps what came."""

    def __init__(self, api, **fields):
        super().__init__(daemon=True)
        fields.setdefault("path", "svc1")
        self.stream = api.stream("LogService.ReadLog", timeout=SECONDS, follow=True, raw=True,
                                 **fields)
        self.text = b""
        self.cursor = ""
        self.gaps = 0
        self.caught_up = threading.Event()
        self.changed = threading.Condition()
        self.error = None
        self.start()

    def run(self):
        try:
            for reply in self.stream:
                with self.changed:
                    self.text += reply.raw
                    self.cursor = reply.cursor
                    self.gaps += reply.gap
                    self.changed.notify_all()
                if reply.caught_up:
                    self.caught_up.set()
        except grpc.RpcError as error:
            self.error = error
        with self.changed:
            self.changed.notify_all()

    def wait_text(self, wanted, deadline_seconds=60):
        with self.changed:
            done = self.changed.wait_for(lambda: len(self.text) >= len(wanted), deadline_seconds)
        if self.text != wanted:
            raise AssertionError("%s: %d bytes, expected %d; the last %r, expected %r" % (
                "came" if done else "nothing more came", len(self.text), len(wanted),
                self.text[-200:], wanted[-200:]))

    def end(self):
        self.stream.cancel()
        self.join(60)


class LogsTest(OmdTestCase):
    OMD = {}

    @classmethod
    def prepare(cls, omd):
        omd.write_service("svc1", {"fs#1": {"type": "flag"}})

    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.omd.log, "svc1.log")
        self.omd.wait_instance("svc1", "down")
        # Nobody else writes to it: the service is not touched.
        self.remove_all()

    def remove_all(self):
        for name in os.listdir(self.omd.log):
            if name.startswith("svc1.log"):
                os.unlink(os.path.join(self.omd.log, name))

    def write(self, text, path=None):
        with open(path or self.path, "a", encoding="utf-8") as stream:
            stream.write(text)

    def read(self, **fields):
        fields.setdefault("path", "svc1")
        return list(self.omd.grpc.stream("LogService.ReadLog", timeout=SECONDS, **fields))

    def raw(self, **fields):
        return b"".join(reply.raw for reply in self.read(raw=True, **fields))

    def refused(self, **fields):
        with self.assertRaises(grpc.RpcError) as caught:
            self.read(**fields)
        return Error(caught.exception)

    def follow(self, **fields):
        follower = Follower(self.omd.grpc, **fields)
        self.addCleanup(follower.end)
        if not follower.caught_up.wait(60):
            raise AssertionError("a follower never caught up: %s" % follower.error)
        return follower

    # What is there.
    def test_backlogs_in_bytes_and_lines_and_the_whole_file(self):
        lines = [line(number) for number in range(1000)]
        self.write("".join(lines))
        whole = "".join(lines).encode()
        self.assertEqual(self.raw(whole_file=True), whole)
        self.assertEqual(self.raw(backlog_lines=3), "".join(lines[-3:]).encode())
        self.assertEqual(self.raw(backlog_lines=5000), whole)
        last = len(lines[-1]) + len(lines[-2])
        self.assertEqual(self.raw(backlog_bytes=last), "".join(lines[-2:]).encode())
        self.assertEqual(self.raw(backlog_bytes=last + 5), "".join(lines[-2:]).encode())
        self.assertEqual(self.raw(backlog_bytes=0), b"")
        self.assertEqual(self.raw(end=True), b"")
        # Unset: the last 10240 bytes, whole lines of them.
        by_default = self.raw()
        self.assertTrue(whole.endswith(by_default))
        self.assertTrue(10240 - len(lines[-1]) < len(by_default) <= 10240, len(by_default))

    def test_lines_are_parsed_and_kept_as_they_are(self):
        self.write(line(1, "WARNING", "app#1", " is late"))
        self.write("  and goes on here\n")
        self.write("no newline at the end")
        entries = [entry for reply in self.read(whole_file=True) for entry in reply.entries]
        self.assertEqual([entry.raw for entry in entries],
                         [line(1, "WARNING", "app#1", " is late").rstrip("\n").encode(),
                          b"  and goes on here", b"no newline at the end"])
        first = entries[0]
        self.assertEqual((first.node, first.object, first.resource_id, first.level, first.message),
                         ("node1", "svc1", "app#1", "WARNING", b"line 1 is late"))
        self.assertTrue(first.HasField("time"))
        self.assertTrue(entries[1].continuation)

        def components():  # Its log is written beside what it does.
            return {entry.component for reply in self.read(path="", whole_file=True)
                    for entry in reply.entries if entry.message == b"event monitor_started"}
        wait_for(components, "the log tells of the monitor")
        self.assertEqual(components(), {"monitor"})

    def test_filters_let_lines_through_by_level_time_text_and_resource(self):
        self.write("".join(line(number, level, rid) for number, (level, rid) in enumerate(
            [("DEBUG", ""), ("INFO", "app#1"), ("WARNING", "app#2"), ("ERROR", "app#1")])))

        def numbers(**filters):
            entries = [entry for reply in self.read(whole_file=True, filter=filters)
                       for entry in reply.entries]
            return [int(entry.message.split()[1]) for entry in entries]
        self.assertEqual(numbers(), [0, 1, 2, 3])
        self.assertEqual(numbers(min_level="warning"), [2, 3])
        self.assertEqual(numbers(resource_id="app#1"), [1, 3])
        self.assertEqual(numbers(text="line 2"), [2])
        times = [entry.time for reply in self.read(whole_file=True) for entry in reply.entries]
        self.assertEqual(numbers(since=times[1], until=times[3]), [1, 2])
        self.assertEqual(numbers(min_level="ERROR", resource_id="app#2"), [])
        refused = self.refused(filter={"min_level": "LOUD"})
        self.assertEqual(refused.code, grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn('"LOUD" is no level', refused.text)
        self.assertEqual(self.refused(raw=True, filter={"text": "x"}).code,
                         grpc.StatusCode.INVALID_ARGUMENT)

    def test_what_is_not_there_is_said(self):
        unknown = self.refused(path="nosuch")
        self.assertEqual((unknown.code, unknown.reason),
                         (grpc.StatusCode.NOT_FOUND, "SERVICE_UNKNOWN"))
        for path in ("../../etc/passwd", "a//b", "svc1\0"):
            self.assertEqual(self.refused(path=path).code, grpc.StatusCode.INVALID_ARGUMENT, path)
        missing = self.refused()
        self.assertEqual((missing.code, missing.reason),
                         (grpc.StatusCode.NOT_FOUND, "LOG_NOT_FOUND"))
        for cursor in ("x", "A" * 5000, "MTtwMSwy"):
            bad = self.refused(cursor=cursor)
            self.assertEqual((bad.code, bad.reason),
                             (grpc.StatusCode.INVALID_ARGUMENT, "BAD_CURSOR"), cursor)

    # What is being written.
    def test_a_follower_sees_rotations_truncations_and_new_files_whole(self):
        self.write(line(0))
        follower = self.follow(whole_file=True)
        wanted = line(0)

        def more(*numbers, path=None):
            nonlocal wanted
            for number in numbers:
                self.write(line(number), path)
                wanted += line(number)
            follower.wait_text(wanted.encode())
        more(1)
        # Renamed and made anew.
        os.rename(self.path, self.path + ".1")
        more(2, path=self.path + ".1")
        more(3, 4)
        # Copied and truncated. Shorter than it was, or it might look as before.
        with open(self.path, "rb") as stream, open(self.path + ".copy.gz", "wb") as copy:
            copy.write(stream.read())
        os.truncate(self.path, 0)
        more(5)
        more(6)
        # Deleted and made anew.
        os.unlink(self.path)
        more(7)
        # Renamed and made anew, while a slow writer still has the old file.
        begin = time.monotonic()
        os.rename(self.path, self.path + ".2")
        more(8)
        self.write(line(9), self.path + ".2")
        if time.monotonic() - begin < LINGER_SECONDS:  # Not too slow.
            wanted += line(9)
            follower.wait_text(wanted.encode())
        self.assertEqual(follower.gaps, 0)

    def test_two_writers_on_either_side_of_a_rotation_lose_nothing(self):
        self.write("")
        follower = self.follow(whole_file=True)
        writers = [open(self.path, "ab", buffering=0) for _ in range(2)]
        written = 0
        rotated = slowest = 0
        for number in range(2000):
            if number % 500 == 250:
                rotated = time.monotonic()
                os.rename(self.path, "%s.%d" % (self.path, number))
                writers[0].close()
                writers[0] = open(self.path, "ab", buffering=0)
            if number % 500 == 400:  # The other one notices later.
                writers[1].close()
                slowest = max(slowest, time.monotonic() - rotated)
                writers[1] = open(self.path, "ab", buffering=0)
                self.wait_tick()  # What is newer is told by its time.
            writers[number % 2].write(line(number).encode())
            written += len(line(number))
        for writer in writers:
            writer.close()
        if slowest >= LINGER_SECONDS:
            self.skipTest("the machine is too slow: a writer noticed the rotation too late")
        with follower.changed:
            follower.changed.wait_for(lambda: len(follower.text) >= written, 60)
        got = follower.text.decode().splitlines(keepends=True)
        self.assertEqual(sorted(got), sorted(line(number) for number in range(2000)))
        for side in (0, 1):  # Each writer's lines are in its order, apart from the file it was late with.
            mine = [text for text in got if int(text.split()[-1]) % 2 == side]
            self.assertEqual(len(mine), 1000)

    def wait_tick(self):
        """Returns when what is written next is newer: the clock of files ticks slowly."""
        probe = os.path.join(self.omd.root, "tick")

        def now():
            with open(probe, "w", encoding="ascii"):
                pass
            os.utime(probe)
            return os.stat(probe).st_mtime_ns
        before = now()
        wait_for(lambda: now() > before, "the clock ticks", interval=0.001)

    def test_a_log_that_does_not_exist_yet_is_waited_for(self):
        follower = self.follow()
        self.write(line(1))
        follower.wait_text(line(1).encode())

    def test_a_deleted_instance_leaves_its_followers_in_peace(self):
        self.omd.write_service("gone", {"fs#1": {"type": "flag"}})
        self.omd.wait_instance("gone", "down")
        path = os.path.join(self.omd.log, "gone.log")
        self.write(line(1), path)
        follower = self.follow(path="gone", whole_file=True)
        follower.wait_text(line(1).encode())
        self.omd.omctl("gone", "delete", "--wait", timeout=SECONDS, check=0)
        # The log went with the instance; what a new one of that name writes is its log again.
        self.write(line(2), path)
        with follower.changed:
            follower.changed.wait_for(lambda: line(2).encode() in follower.text, 60)
        self.assertIn(line(2).encode(), follower.text)
        self.assertIsNone(follower.error)

    def test_nothing_is_lost_or_repeated_over_a_restart_of_the_daemon(self):
        omd = self.start_omd()
        omd.write_service("svc1", {"fs#1": {"type": "flag"}})
        omd.wait_instance("svc1", "down")
        path = os.path.join(omd.log, "svc1.log")
        self.write(line(0), path)
        cursor, got, wanted = "", b"", line(0)
        for number in range(1, 7):
            start = {"cursor": cursor} if cursor else {"whole_file": True}
            follower = Follower(omd.grpc, **start)
            follower.wait_text(wanted.encode())
            got += follower.text
            cursor = follower.cursor
            self.assertEqual(follower.gaps, 0)
            if number % 2:
                omd.restart()
            else:
                omd.kill()
                omd.start()
            follower.join(60)
            if number % 3 == 0:
                self.write(line(number * 100), path)
                os.rename(path, path + ".1")
                wanted = line(number * 100) + line(number)
            else:
                wanted = line(number)
            self.write(line(number), path)
        every = line(0) + line(1) + line(2) + line(300) + line(3) + line(4) + line(5)
        self.assertEqual(got.decode(), every)

    # Much, slow, many.
    def test_a_big_log_costs_no_memory_and_a_slow_reader_slows_nobody(self):
        block = "".join(line(number, text=" " + "x" * 900) for number in range(1024)).encode()
        with open(self.path, "wb") as stream:
            size = 0
            while size < BIG_MIB * MIB:
                stream.write(block)
                size += len(block)
        self.raw(backlog_bytes=MIB)
        before = self.omd.memory_bytes()
        slow = self.omd.grpc.stream("LogService.ReadLog", timeout=SECONDS, path="svc1",
                                    whole_file=True, raw=True)
        next(slow)  # Takes one message and then nothing for as long as the others read.
        total = 0
        for reply in self.omd.grpc.stream("LogService.ReadLog", timeout=SECONDS, path="svc1",
                                          whole_file=True, raw=True):
            total += len(reply.raw)
            self.assertLessEqual(len(reply.raw), 64 << 10)
        self.assertEqual(total, size)
        entries = sum(len(reply.entries) for reply in self.omd.grpc.stream(
            "LogService.ReadLog", timeout=SECONDS, path="svc1", backlog_bytes=20 * MIB))
        self.assertGreater(entries, 15_000)
        after = self.omd.memory_bytes()
        self.assertLess(after - before, memory_limit(48 * MIB), "from %d to %d" % (before, after))
        # The slow one finds everything: the file waited for it, for a minute at least.
        try:
            self.assertTrue(next(reply.raw for reply in slow if reply.raw))
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.CANCELLED, error)
            self.assertTrue(self.omd.counters().get("watch.too_slow"))
        slow.cancel()

    def test_a_line_of_ten_megabytes_and_garbage_are_read_as_they_are(self):
        garbage = bytes(range(256)) * 64 + b"\n"
        long_line = b"y" * (10 * MIB) + b"\n"
        with open(self.path, "wb") as stream:
            stream.write(garbage + long_line + line(1).encode())
        self.assertEqual(self.raw(whole_file=True), garbage + long_line + line(1).encode())
        entries = [entry for reply in self.read(whole_file=True) for entry in reply.entries]
        self.assertEqual(entries[-1].message, b"line 1")
        self.assertEqual(sum(len(entry.raw) for entry in entries if entry.raw.startswith(b"y")), 10 * MIB)

    def test_five_hundred_followers_get_every_line(self):
        self.write(line(0))
        # A connection takes 128 streams.
        wait_for(lambda: self.omd.counters()["logs.readers"] == 0, "the readers before are gone")
        channels = [Api("unix:" + self.omd.grpc_socket) for _ in range(5)]
        self.addCleanup(lambda: [channel.close() for channel in channels])
        followers = [Follower(channels[number % len(channels)], end=True)
                     for number in range(FOLLOWERS)]
        for follower in followers:
            self.assertTrue(follower.caught_up.wait(60), follower.error)
        wanted = "".join(line(number) for number in range(1, 201)).encode()
        for number in range(1, 201):
            self.write(line(number))
        for follower in followers:
            follower.wait_text(wanted)
        self.assertEqual(self.omd.counters()["logs.readers"], FOLLOWERS)
        for follower in followers:
            follower.end()
        wait_for(lambda: self.omd.counters()["logs.readers"] == 0, "all readers are gone")

    def test_killed_clients_leave_no_descriptors(self):
        self.write(line(0) * 1000)

        def open_files():
            folder = "/proc/%d/fd" % self.omd.pid
            count = 0
            for name in os.listdir(folder):
                try:
                    count += os.readlink(os.path.join(folder, name)).startswith(self.path)
                except FileNotFoundError:
                    pass
            return count
        script = ("import sys; sys.path.insert(0, sys.argv[1]); from grpc_api import Api\n"
                  "api = Api('unix:' + sys.argv[2])\n"
                  "for reply in api.stream('LogService.ReadLog', path='svc1', whole_file=True, follow=True):\n"
                  "    print(len(reply.entries), flush=True)\n")
        clients = [subprocess.Popen([sys.executable, "-c", script, os.path.join(HERE, "..", "support"),
                                     self.omd.grpc_socket], stdout=subprocess.PIPE) for _ in range(5)]
        for client in clients:
            self.assertTrue(client.stdout.readline())
        wait_for(lambda: open_files() >= 5, lambda: "%d files are open" % open_files())
        for client in clients:
            client.send_signal(signal.SIGKILL)
            client.wait()
            client.stdout.close()
        wait_for(lambda: open_files() == 0, lambda: "%d files are open" % open_files())


if __name__ == "__main__":
    unittest.main()

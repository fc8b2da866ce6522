#!/usr/bin/python3
"""Events as they happen, and waiting until something is so, over gRPC."""

import os
import signal
import subprocess
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import grpc  # noqa: E402
from grpc_api import Api, Error  # noqa: E402
from harness import App, OmdTestCase, memory_limit, wait_for  # noqa: E402


# Of calls and streams: a bound for a hopeless case.
SECONDS = 250


class Watcher(threading.Thread):
    """Reads events and keeps them."""

    def __init__(self, api, **fields):
        super().__init__(daemon=True)
        self.stream = api.stream("EventService.WatchEvents", timeout=SECONDS, **fields)
        self.events = []
        self.missed = 0
        self.token = ""
        self.error = None
        self.changed = threading.Condition()
        self.start()

    def run(self):
        try:
            for reply in self.stream:
                with self.changed:
                    self.events += reply.events
                    self.missed += reply.gap.missed_changes
                    self.token = reply.resume_token
                    self.changed.notify_all()
        except grpc.RpcError as error:
            self.error = error
            with self.changed:
                self.changed.notify_all()

    def wait_event(self, event_id, count=1):
        def there():
            return sum(event.id == event_id for event in self.events) >= count
        with self.changed:
            if not self.changed.wait_for(there, 60):
                raise AssertionError("no %s among %s; %s" % (
                    event_id, [event.id for event in self.events], self.error))
            return [event for event in self.events if event.id == event_id][-1]

    def wait_count(self, count):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.events) >= count, 60):
                raise AssertionError("%d events of %d; %s" % (len(self.events), count, self.error))

    def until(self, event_id):
        """Ids of the events up to the first of that id."""
        ids = [event.id for event in self.events]
        return ids[:ids.index(event_id) + 1]

    def end(self):
        self.stream.cancel()
        self.join(60)


class EventsTest(OmdTestCase):
    OMD = {}

    @classmethod
    def prepare(cls, omd):
        cls.app = App(omd, "svc1")
        os.makedirs(os.path.join(omd.etc, "namespaces", "ns1", "svc"))
        omd.write_service("namespaces/ns1/svc/web", {"fs#1": {"type": "flag"}})

    def setUp(self):
        super().setUp()
        self.omd.wait_idle()

    def watch(self, **fields):
        """A watcher that is known to be there: it has seen an event that was made for it."""
        watcher = Watcher(self.omd.grpc, **fields)
        self.addCleanup(watcher.end)
        return watcher

    def watch_from_now(self, **fields):
        # A token of now: what happens from here on is seen, however late the stream begins.
        reply = next(iter(self.omd.grpc.stream("DaemonService.WatchStatus", only_changes=True)))
        return self.watch(resume_token=reply.resume_token, **fields)

    def touch_node_conf(self):
        self.omd.touch(self.omd.node_conf_path)

    def bounce(self, name="svc1"):
        for action in ("start", "stop"):
            self.omd.omctl(name, action, "--wait", timeout=SECONDS, check=0)

    def wait_condition(self, condition, **fields):
        fields.setdefault("timeout", {"seconds": 150})
        function, request = self.omd.grpc.method("EventService.WaitFor")
        return function(request(condition=condition, **fields), timeout=200)

    def refused(self, condition, **fields):
        with self.assertRaises(grpc.RpcError) as caught:
            self.wait_condition(condition, **fields)
        return Error(caught.exception)

    # Events.
    def test_events_tell_what_where_and_why(self):
        watcher = self.watch_from_now()
        self.bounce()
        event = watcher.wait_event("instance_stop")
        self.assertEqual((event.path, event.node, event.reason), ("svc1", "node1", "target"))
        self.assertTrue(event.HasField("time"))
        start = watcher.wait_event("instance_start")
        self.assertIn(start.reason, ("single_node", "target", "from_ready"))
        self.assertEqual(watcher.missed, 0)

    def test_filters_by_id_object_and_node(self):
        everything = self.watch_from_now()
        starts = self.watch_from_now(ids=["instance_st*"], selectors=["svc*"])
        web = self.watch_from_now(selectors=["ns1/svc/*"])
        elsewhere = self.watch_from_now(nodes=["node2"])
        here = self.watch_from_now(nodes=["node1", "node2"], ids=["node_config_change"])
        self.bounce()
        self.bounce("ns1/svc/web")
        self.touch_node_conf()
        everything.wait_event("node_config_change")
        starts.wait_event("instance_stop")
        web.wait_event("instance_stop")
        here.wait_event("node_config_change")
        self.assertEqual({event.path for event in starts.events}, {"svc1"})
        self.assertEqual({event.path for event in web.events}, {"ns1/svc/web"})
        self.assertEqual({event.id for event in here.events}, {"node_config_change"})
        self.assertEqual(elsewhere.events, [])

    def test_a_watch_resumes_where_it_was_and_not_in_another_daemon(self):
        omd = self.start_omd()
        App(omd, "svc1")
        omd.wait_instance("svc1", "down")
        reply = next(iter(omd.grpc.stream("DaemonService.WatchStatus", only_changes=True)))
        first = Watcher(omd.grpc, resume_token=reply.resume_token)
        omd.omctl("svc1", "start", "--wait", timeout=SECONDS, check=0)
        first.wait_event("instance_start")
        first.end()
        omd.omctl("svc1", "stop", "--wait", timeout=SECONDS, check=0)
        second = Watcher(omd.grpc, resume_token=first.token)
        second.wait_event("instance_stop")
        # Nothing twice, nothing lost: a third one that saw it all saw just these.
        third = Watcher(omd.grpc, resume_token=reply.resume_token)
        third.wait_event("instance_stop")
        self.assertEqual([event.id for event in first.events] + second.until("instance_stop"),
                         third.until("instance_stop"))
        second.end()
        third.end()
        omd.restart()
        stale = Watcher(omd.grpc, resume_token=second.token)
        stale.join(60)
        error = Error(stale.error)
        self.assertEqual((error.code, error.reason), (grpc.StatusCode.OUT_OF_RANGE, "FOREIGN_TOKEN"))

    def test_a_slow_watcher_is_told_what_it_missed_and_a_fast_one_misses_nothing(self):
        omd = self.start_omd()
        app = App(omd, "svc1")
        omd.wait_instance("svc1", "down")
        reply = next(iter(omd.grpc.stream("DaemonService.WatchStatus", only_changes=True)))
        # Sets a status of the monitor so often that the feed has long forgotten the beginning.
        fast = Watcher(omd.grpc, resume_token=reply.resume_token)
        count = 9000
        for number in range(count):
            answer = omd.local.request("set_service_monitor", {
                "svcpath": "svc1", "local_expect": "started" if number % 2 else "unset"})
            self.assertEqual(answer["status"], 0, answer)
            # The fast one is never so far behind that it could miss something.
            if number % 1000 == 0:
                omd.clear_blacklist()
                fast.wait_event("blacklist_clear", number // 1000 + 1)
        omd.touch(omd.node_conf_path)
        fast.wait_event("node_config_change")
        late = Watcher(omd.grpc, resume_token=reply.resume_token)
        late.wait_event("node_config_change")
        self.assertEqual(fast.missed, 0)
        self.assertGreater(late.missed, 0)
        fast.end()
        late.end()
        self.assertLessEqual(app.starts(), count)

    def test_readers_that_stand_still_cost_little_and_every_gap_is_told(self):
        omd = self.start_omd()
        # Of what a client does not take a connection holds little, so that streams stand still soon.
        small = {"grpc__http2__bdp_probe": 0, "grpc__http2__lookahead_bytes": 16 << 10}
        channels = [Api("unix:" + omd.grpc_socket, **small) for _ in range(5)]
        self.addCleanup(lambda: [channel.close() for channel in channels])
        reply = next(iter(omd.grpc.stream("DaemonService.WatchStatus", only_changes=True)))
        fast = Watcher(omd.grpc, resume_token=reply.resume_token, ids=["blacklist_clear"])
        slow = [channels[number % 5].stream("EventService.WatchEvents", timeout=SECONDS,
                                            ids=["blacklist_clear"],
                                            resume_token=reply.resume_token) for number in range(50)]
        function, request = omd.grpc.method("BlacklistService.ClearEntries")
        count, before = 20_000, omd.memory_bytes()
        for done in range(0, count, 100):
            calls = [function.future(request(), timeout=60) for _ in range(100)]
            for call in calls:
                call.result()
            fast.wait_count(done + 100)  # It is never so far behind that it could miss something.
        grown = omd.memory_bytes() - before
        self.assertLess(grown, memory_limit(64 << 20))
        self.assertEqual(fast.missed, 0)
        everything = [(event.time.seconds, event.time.nanos) for event in fast.events]
        position = {moment: number for number, moment in enumerate(everything)}
        self.assertEqual(len(position), count, "each event has a time of its own")
        told = cut_off = 0
        for stream in slow:
            at = -1
            for reply in self.messages_of(stream):
                for number, event in enumerate(reply.events):
                    where = position[event.time.seconds, event.time.nanos]
                    missed = where - at - 1
                    # What is not there was announced, and not more of it than was missed.
                    if number == 0 and reply.HasField("gap"):
                        told += 1
                        self.assertGreater(missed, 0)
                        self.assertLessEqual(missed, reply.gap.missed_changes)
                    else:
                        self.assertEqual(missed, 0)
                    at = where
                if at == count - 1:
                    break
            cut_off += at != count - 1
            stream.cancel()
        # After a minute without a reader a stream may be ended.
        self.assertLessEqual(cut_off, omd.counters().get("watch.too_slow", 0))
        self.assertGreater(told + cut_off, 0, "nobody fell behind: this shows nothing")
        fast.end()

    def messages_of(self, stream):
        """The messages of a stream, which may be ended by the daemon."""
        try:
            yield from stream
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.CANCELLED, error)

    def test_a_watcher_killed_in_the_middle_leaves_nothing_behind(self):
        script = ("import sys; sys.path.insert(0, sys.argv[1]); from grpc_api import Api\n"
                  "stream = Api('unix:' + sys.argv[2]).stream('EventService.WatchEvents',\n"
                  "                                           resume_token=sys.argv[3])\n"
                  "for reply in stream: print(len(reply.events), flush=True)\n")

        def connections():
            found = set()
            folder = "/proc/%d/fd" % self.omd.pid
            for name in os.listdir(folder):
                try:
                    found.add(os.readlink(os.path.join(folder, name)))
                except FileNotFoundError:
                    pass  # Closed since it was listed.
            return {name for name in found if name.startswith("socket:")}
        # There is something to tell at once.
        reply = next(iter(self.omd.grpc.stream("DaemonService.WatchStatus", only_changes=True)))
        own_watch = self.watch(resume_token=reply.resume_token)
        self.omd.clear_blacklist()
        own_watch.wait_event("blacklist_clear")
        before = connections()
        client = subprocess.Popen([sys.executable, "-c", script, os.path.join(HERE, "..", "support"),
                                   self.omd.grpc_socket, reply.resume_token],
                                  stdout=subprocess.PIPE)
        self.assertTrue(client.stdout.readline())
        own = connections() - before
        self.assertTrue(own, "the client is connected")
        client.send_signal(signal.SIGKILL)
        client.wait()
        client.stdout.close()
        wait_for(lambda: not connections() & own, "its connection is gone")
        self.bounce()

    def test_filters_that_make_no_sense_are_refused(self):
        for fields in ({"ids": [""]}, {"selectors": ["x" * 600]}, {"nodes": ["n"] * 101},
                       {"resume_token": "nonsense"}):
            with self.assertRaises(grpc.RpcError) as caught:
                next(iter(self.omd.grpc.stream("EventService.WatchEvents", **fields)))
            self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT, fields)

    # Waiting.
    def test_a_wait_ends_when_another_client_makes_it_so(self):
        self.omd.omctl("svc1", "stop", "--wait", timeout=SECONDS, check=0)
        answers = []
        waiters = [threading.Thread(target=lambda text=text: answers.append(
            (text, self.wait_condition(text).value))) for text in (
                "services.svc1.avail=up", "services.svc1.instances.node1.avail = up",
                "services.svc1.instances.node1.resources.app#1.state=up")]
        for waiter in waiters:
            waiter.start()
        self.omd.omctl("svc1", "start", "--wait", timeout=SECONDS, check=0)
        for waiter in waiters:
            waiter.join()
        self.assertEqual(sorted(answers), [
            ("services.svc1.avail=up", "up"),
            ("services.svc1.instances.node1.avail = up", "up"),
            ("services.svc1.instances.node1.resources.app#1.state=up", "up")])
        self.omd.omctl("svc1", "stop", "--wait", timeout=SECONDS, check=0)

    def test_what_is_so_already_is_answered_at_once(self):
        for condition, value in (("nodes.node1.monitor.status=idle", "idle"),
                                 ("nodes.node1.frozen=thawed", "thawed"),
                                 ("services.ns1/svc/web.kind=svc", "svc"),
                                 ("threads.listener.state=running", "running"),
                                 ("cluster.nodes=node1", "node1"),
                                 ("cluster.compatible", "true"),
                                 ("nodes.node1.load.memory_total_mib>1", None),
                                 ("services.nosuch.avail!=up", "")):
            answer = self.wait_condition(condition)
            if value is not None:
                self.assertEqual(answer.value, value, condition)
            self.assertGreater(answer.revision, 0)

    def test_a_wait_that_is_never_met_says_what_there_was(self):
        error = self.refused("nodes.node1.monitor.status=shutting", timeout={"nanos": 200_000_000})
        self.assertEqual((error.code, error.reason),
                         (grpc.StatusCode.DEADLINE_EXCEEDED, "CONDITION_NOT_MET"))
        self.assertIn('its value is "idle"', error.text)
        error = self.refused("services.later.avail=up", timeout={"nanos": 200_000_000})
        self.assertIn("there is no such value", error.text)

    def test_conditions_that_can_never_be_are_refused(self):
        for condition, said in (
                ("", "expected services.<path>"), ("svc1=up", "expected services.<path>"),
                ("services.svc1", "no such field"), ("services.svc1.availl=up", "no such field"),
                ("services.svc1.avail=upp", '"upp" is no state of avail; expected up, down'),
                ("services.svc1.avail>up", "is no number"),
                ("services.../etc.avail=up", "services"),
                ("nodes.node1.load.score>many", '"many" is no number'),
                ("threads.listener.state=", "is no state"), ("cluster=x", "no such field"),
                ("services.svc1.avail!up", "expected"), ("x" * 5000, "at most 1024")):
            error = self.refused(condition)
            self.assertEqual(error.code, grpc.StatusCode.INVALID_ARGUMENT, condition)
            self.assertIn(said, error.text)
        for timeout in ({"seconds": 0}, {"seconds": -5}, {"seconds": 90_000}):
            self.assertEqual(self.refused("cluster.compatible", timeout=timeout).code,
                             grpc.StatusCode.INVALID_ARGUMENT)

    def test_waits_that_are_given_up_free_their_places(self):
        function, request = self.omd.grpc.method("EventService.WaitFor")

        def begin():
            return function.future(request(condition="services.later.avail=up",
                                           timeout={"seconds": 600}), timeout=600)
        # Twice as many as there are places, half at a time.
        for _ in range(4):
            calls = [begin() for _ in range(512)]
            for call in calls:
                call.cancel()

        def free():
            try:
                return self.wait_condition("cluster.compatible").value == "true"
            except grpc.RpcError as error:
                # Cancelled calls may still hold their places, for as long as omd has not seen it.
                self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
                return False

        wait_for(free, "a place")

    def test_waits_and_watches_end_with_the_daemon(self):
        omd = self.start_omd()
        function, request = omd.grpc.method("EventService.WaitFor")
        call = function.future(request(condition="services.later.avail=up",
                                       timeout={"seconds": 600}), timeout=600)
        watcher = Watcher(omd.grpc)
        # One connection keeps the order of its calls: an answer to the last means all have arrived.
        omd.grpc.call("DaemonService.GetStatus")
        omd.terminate()
        self.assertIn(call.exception().code(), (grpc.StatusCode.UNAVAILABLE,))
        watcher.join(60)
        self.assertEqual(watcher.error.code(), grpc.StatusCode.UNAVAILABLE)


if __name__ == "__main__":
    unittest.main()

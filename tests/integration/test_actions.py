#!/usr/bin/python3
"""Actions of clients on the real daemon: output as it appears, ends, readers that are slow or gone."""

import os
import signal
import stat
import subprocess
import sys
import threading
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import grpc_api  # noqa: E402
from harness import App, OmdTestCase, Process, grpc, memory_limit, read_bytes, wait_for  # noqa: E402

CODE = grpc.StatusCode
MEBIBYTE = 1 << 20
FLOOD_BYTES = 100 * MEBIBYTE
STDOUT, STDERR = 1, 2
# Of calls and streams: a bound for a hopeless case.
SECONDS = 300

# A resource manager that does odd things for odd words, and is the built-in one for all others.
CRM = r"""#!/bin/sh
here=%(here)s
# The words begin after "-s <path>"; on the node there is no path.
case "$1" in
-s) shift 2; set -- on-instance "$@" ;;
*) set -- on-node "$@" ;;
esac
where=$1
shift
case "$1" in
both) echo out; echo err >&2; exit 3 ;;
bytes) printf '\377\376\000\201'; printf '\303\050' >&2 ;;
step) echo one; until [ -e "$here/$2" ]; do sleep 0.02; done; echo two ;;
flood) exec head -c %(flood)d /dev/zero ;;
flood-hold) head -c %(flood)d /dev/zero; echo flooded >&2 ;;
stubborn) trap '' TERM; echo ready; while :; do sleep 0.05; done ;;
tree) sh -c 'trap "" TERM; while :; do sleep 0.05; done' & echo "$!"; echo ready; wait ;;
words) printf '[%%s]\n' "$where" "$@" ;;
origin) printf '%%s' "$OSVC_ACTION_ORIGIN" ;;
input) exec cat ;;
rest) exec sleep 86395 ;;
signal) kill -"$2" $$ ;;
*) exec %(omcrm)s ${path_arguments} "$@" ;;
esac
"""


def text_of(messages, stream):
    """All that was written to a stream, from a list of messages. Checks that nothing is missing."""
    data = b""
    for message in messages:
        if message.WhichOneof("kind") != "output" or message.output.stream != stream:
            continue
        if message.output.offset != len(data) or message.output.missed_bytes:
            raise AssertionError("a gap at %d: %d, missed %d" % (
                len(data), message.output.offset, message.output.missed_bytes))
        data += message.output.data
    return data


def kinds(messages):
    """The kinds, without heartbeats, each run of outputs as one."""
    found = []
    for message in messages:
        kind = message.WhichOneof("kind")
        if kind != "heartbeat" and found[-1:] != [kind]:
            found.append(kind)
    return found


def until(messages, kind):
    """The messages up to the first of that kind. In silence there are heartbeats."""
    seen = []
    for message in messages:
        seen.append(message)
        if message.WhichOneof("kind") == kind:
            return seen
    raise AssertionError("the stream ended without %s: %r" % (kind, seen))


def begun(messages):
    """The action that a stream tells of first."""
    return until(messages, "action")[-1].action


class ActionsTest(OmdTestCase):
    OMD = {}

    @classmethod
    def prepare(cls, omd):
        cls.app = App(omd, "svc1")
        crm = os.path.join(omd.root, "crm.sh")
        text = CRM % {"here": omd.root, "flood": FLOOD_BYTES, "omcrm": omd.program("omcrm")}
        # The built-in one gets its words as they came.
        text = text.replace("#!/bin/sh\n", "#!/bin/sh\npath_arguments=\n"
                            "[ \"$1\" = -s ] && path_arguments=\"-s $2\"\n")
        with open(crm, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(crm, stat.S_IRWXU)
        omd.node_conf["crm"] = {"command": crm, "node_command": crm}
        omd.write_node_conf()

    def setUp(self):
        wait_for(lambda: self.omd.instance("svc1"), "svc1 is known")

    # --------------------------------------------------------------------------------- helpers

    @staticmethod
    def command(*words, path="svc1", **more):
        return {"path": path, "arguments": [
            word if isinstance(word, bytes) else word.encode() for word in words], **more}

    def run_action(self, *words, api=None, request=None, **more):
        return (api or self.omd.grpc).call(
            "ActionService.RunAction", timeout=SECONDS, command=self.command(*words, **more),
            **(request or {}))

    def stream(self, *words, api=None, detach=False, **more):
        return (api or self.omd.grpc).stream(
            "ActionService.StreamAction", timeout=SECONDS, command=self.command(*words, **more),
            detach=detach)

    def attach(self, action_id, api=None, **fields):
        return (api or self.omd.grpc).stream("ActionService.AttachAction", timeout=SECONDS,
                                             action_id=action_id, **fields)

    def get(self, action_id):
        return self.omd.grpc.call("ActionService.GetAction", action_id=action_id).action

    def state(self, action_id):
        return grpc_api.enum_name(self.get(action_id), "state")

    def wait_state(self, action_id, state):
        wait_for(lambda: self.state(action_id) == state,
                 lambda: "action is %s: %s" % (state, self.get(action_id)))

    def go(self, name):
        with open(os.path.join(self.omd.root, name), "w", encoding="ascii"):
            pass

    # ----------------------------------------------------------------------------- running one

    def test_a_command_tells_both_outputs_and_its_exit_code(self):
        reply = self.run_action("both")
        self.assertEqual((reply.standard_output, reply.standard_error), (b"out\n", b"err\n"))
        self.assertEqual((reply.action.exit_code, grpc_api.enum_name(reply.action, "state")),
                         (3, "EXITED"))
        self.assertEqual((reply.action.path, reply.action.node), ("svc1", "node1"))
        self.assertFalse(reply.output_truncated)
        messages = list(self.stream("both"))
        self.assertEqual(kinds(messages), ["action", "output", "end"])
        self.assertEqual((text_of(messages, STDOUT), text_of(messages, STDERR)),
                         (b"out\n", b"err\n"))
        self.assertEqual((messages[-1].end.exit_code, messages[-1].end.stdout_bytes), (3, 4))
        self.assertTrue(begun(messages).pid)

    def test_output_appears_while_the_command_runs(self):
        call = self.stream("step", "go-live")
        messages = until(call, "output")
        self.assertEqual(text_of(messages, STDOUT), b"one\n")
        self.assertEqual(self.state(begun(messages).id), "RUNNING")
        self.go("go-live")
        messages += list(call)
        self.assertEqual(text_of(messages, STDOUT), b"one\ntwo\n")
        self.assertEqual(messages[-1].WhichOneof("kind"), "end")

    def test_bytes_that_are_no_text_survive_in_words_and_output(self):
        reply = self.run_action("bytes")
        self.assertEqual((reply.standard_output, reply.standard_error),
                         (b"\xff\xfe\x00\x81", b"\xc3("))
        odd = b"\xff \xc3( $HOME `id` ; \n\""
        reply = self.run_action("words", odd)
        self.assertEqual(reply.standard_output,
                         b"[on-instance]\n[words]\n[" + odd + b"]\n[--local]\n")
        self.assertEqual(list(reply.action.arguments), [b"words", odd])
        messages = list(self.stream("bytes"))
        self.assertEqual((text_of(messages, STDOUT), text_of(messages, STDERR)),
                         (b"\xff\xfe\x00\x81", b"\xc3("))

    def test_a_command_on_the_node_has_no_path_and_no_local(self):
        reply = self.run_action("words", "x", path="")
        self.assertEqual(reply.standard_output, b"[on-node]\n[words]\n[x]\n")
        self.assertEqual(reply.action.path, "")

    def test_a_command_gets_its_input_and_is_a_persons(self):
        reply = self.run_action("input", standard_input=b"a\0b")
        self.assertEqual(reply.standard_output, b"a\0b")
        self.assertEqual(self.run_action("origin").standard_output, b"user")

    def test_a_signal_that_ends_it_is_told(self):
        reply = self.run_action("signal", "USR1")
        self.assertEqual((grpc_api.enum_name(reply.action, "state"), reply.action.signal),
                         ("KILLED", signal.SIGUSR1))

    def test_a_time_limit_ends_it(self):
        # Until it has set its trap it dies of SIGTERM, so the limit has to be long enough for that.
        for tenths in (2, 20, 200, 600):
            reply = self.run_action("stubborn", time_limit={
                "seconds": tenths // 10, "nanos": tenths % 10 * 100_000_000})
            self.assertEqual(grpc_api.enum_name(reply.action, "state"), "TIMED_OUT")
            if reply.standard_output:
                break
            self.assertIn(reply.action.signal, (signal.SIGTERM, signal.SIGKILL))
        self.assertEqual((reply.standard_output, reply.action.signal), (b"ready\n", signal.SIGKILL))

    def test_what_cannot_be_run_is_refused(self):
        for words, field in (([], "command.arguments"), ([""], "command.arguments"),
                             (["a\0b"], "command.arguments"),
                             (["x"] * 1001, "command.arguments"),
                             (["x", "y" * 140_000], "command.arguments")):
            for call in (self.run_action, self.stream):
                error = self.assert_rpc_error(CODE.INVALID_ARGUMENT, call, *words)
                self.assertIn(field, repr(error.details))
        for path in ("no-such", "ns1/svc/no-such"):
            self.assert_rpc_error(CODE.NOT_FOUND, self.run_action, "start", path=path,
                                  reason="SERVICE_UNKNOWN")
        self.assert_rpc_error(CODE.INVALID_ARGUMENT, self.run_action, "start", path="../x")
        self.assert_rpc_error(CODE.INVALID_ARGUMENT, self.run_action, "words",
                              time_limit={"seconds": -1})
        self.assert_rpc_error(CODE.INVALID_ARGUMENT, self.run_action, "input",
                              standard_input=b"x" * 70_000)

    def test_the_real_resource_manager_starts_and_stops_a_service(self):
        wait_for(lambda: self.omd.instance("svc1").get("avail") == "down", "svc1 is down")
        messages = list(self.stream("start"))
        self.assertEqual(messages[-1].end.exit_code, 0, text_of(messages, STDERR))
        self.assertEqual(len(self.app.processes()), 1)
        self.omd.wait_instance("svc1", "up")
        self.assertEqual(self.run_action("stop").action.exit_code, 0)
        self.omd.wait_instance("svc1", "down")
        self.assertEqual(self.app.processes(), [])
        self.app.check_journal()

    # --------------------------------------------------------------------- asynchronous, repeated

    def test_an_asynchronous_command_is_answered_once_it_runs(self):
        reply = self.run_action("step", "go-async", request={"asynchronous": True})
        action = reply.action
        self.assertEqual(grpc_api.enum_name(action, "state"), "RUNNING")
        self.assertTrue(Process(action.pid).alive)
        self.assertEqual(os.getpgid(action.pid), action.pid)
        self.go("go-async")
        self.wait_state(action.id, "EXITED")
        messages = list(self.attach(action.id))
        self.assertEqual(text_of(messages, STDOUT), b"one\ntwo\n")
        self.assertEqual(kinds(messages), ["action", "output", "end"])

    def test_a_repeated_request_runs_once_and_gets_the_first_answer(self):
        for asynchronous in (True, False):
            request = {"asynchronous": asynchronous, "request_id": str(uuid.uuid4())}
            first = self.run_action("both", request=request)
            again = self.run_action("both", request=request)
            self.assertEqual(first, again)

    def test_a_caller_that_gives_up_leaves_its_command_running(self):
        function, request = self.omd.grpc.method("ActionService.RunAction")

        def given(word):
            return [action for action in self.omd.grpc.call("ActionService.ListActions").actions
                    if action.arguments[1:] == [word]]

        call = function.future(request(command=self.command("step", "go-cancel")), timeout=SECONDS)
        (action,) = wait_for(lambda: given(b"go-cancel"), "it runs")
        call.cancel()
        # The connection keeps their order: what is answered here came after that.
        self.assertEqual(self.state(action.id), "RUNNING")
        self.go("go-cancel")
        self.wait_state(action.id, "EXITED")
        # The same by a deadline, unless that is over before the command has begun.
        with self.assertRaises(grpc.RpcError) as caught:
            function(request(command=self.command("step", "go-deadline")), timeout=1)
        self.assertEqual(caught.exception.code(), CODE.DEADLINE_EXCEEDED)
        self.go("go-deadline")
        for action in given(b"go-deadline"):
            self.wait_state(action.id, "EXITED")

    # ----------------------------------------------------------------------- leaving and killing

    def test_a_cancelled_stream_ends_the_whole_group(self):
        call = self.stream("tree")
        output = b""
        for message in call:
            if message.WhichOneof("kind") == "action":
                action = message.action
            elif message.WhichOneof("kind") == "output":
                output += message.output.data
                if b"ready" in output:
                    break
        child = int(output.split()[0])
        self.assertTrue(Process(child).alive)
        call.cancel()
        # The program dies of SIGTERM; its child ignores that.
        self.wait_state(action.id, "KILLED")
        wait_for(lambda: not Process(child).alive, "the grandchild is gone")

    def test_a_command_that_ignores_sigterm_is_killed_after_its_grace(self):
        call = self.stream("stubborn")
        action = begun(call)
        until(call, "output")  # It has set its trap.
        call.cancel()
        self.wait_state(action.id, "KILLED")
        self.assertEqual(self.get(action.id).signal, signal.SIGKILL)

    def test_a_detached_command_outlives_its_stream(self):
        call = self.stream("step", "go-detached", detach=True)
        action = begun(call)
        self.assertTrue(action.detached)
        call.cancel()
        wait_for(lambda: self.get(action.id).reader_count == 0, "the reader is gone")
        self.assertEqual(self.state(action.id), "RUNNING")
        self.go("go-detached")
        self.wait_state(action.id, "EXITED")
        self.assertEqual(text_of(list(self.attach(action.id)), STDOUT), b"one\ntwo\n")

    def test_a_command_is_killed_by_signal(self):
        action = self.run_action("step", "never", request={"asynchronous": True}).action
        self.assert_rpc_error(CODE.INVALID_ARGUMENT, self.omd.grpc.call,
                              "ActionService.KillAction", action_id=action.id, signal="STOP")
        self.omd.grpc.call("ActionService.KillAction", action_id=action.id, signal="HUP")
        self.wait_state(action.id, "KILLED")
        self.assertEqual(self.get(action.id).signal, signal.SIGHUP)
        self.assert_rpc_error(CODE.FAILED_PRECONDITION, self.omd.grpc.call,
                              "ActionService.KillAction", action_id=action.id,
                              reason="ACTION_ENDED")
        for method in ("GetAction", "KillAction", "AttachAction"):
            self.assert_rpc_error(CODE.NOT_FOUND, self.omd.grpc.call, "ActionService." + method,
                                  action_id="no-such", reason="ACTION_UNKNOWN")

    def test_a_client_killed_in_mid_stream_ends_its_command(self):
        client = subprocess.Popen(
            [sys.executable, "-c", KILLED_CLIENT, os.path.join(HERE, "..", "support"),
             "unix:" + self.omd.grpc_socket],
            stdout=subprocess.PIPE, env=dict(os.environ, GRPC_ENABLE_FORK_SUPPORT="0"))
        self.addCleanup(client.stdout.close)
        action_id = client.stdout.readline().strip().decode()
        self.assertEqual(self.state(action_id), "RUNNING")
        client.kill()
        client.wait()
        self.wait_state(action_id, "KILLED")

    # --------------------------------------------------------------------------------- listing

    def test_actions_are_listed_newest_first_in_pages(self):
        for _ in range(5):
            self.run_action("words", "listed")
        token, ids = "", []
        while True:
            page = self.omd.grpc.call("ActionService.ListActions", page_size=2, page_token=token,
                                      path="svc1")
            self.assertLessEqual(len(page.actions), 2)
            ids += [action.id for action in page.actions]
            token = page.next_page_token
            if not token:
                break
        whole = self.omd.grpc.call("ActionService.ListActions", page_size=1000, path="svc1")
        self.assertEqual(ids, [action.id for action in whole.actions])
        starts = [action.start_time.ToNanoseconds() for action in whole.actions]
        self.assertEqual(starts, sorted(starts, reverse=True))
        self.assert_rpc_error(CODE.INVALID_ARGUMENT, self.omd.grpc.call,
                              "ActionService.ListActions", page_token="x")

    def test_secrets_in_words_are_shown_to_nobody(self):
        secret = "hidden-%s" % uuid.uuid4().hex
        action = self.run_action("words", "--kw", "hb#1.secret=" + secret, path="").action
        self.assertEqual(list(action.arguments), [b"words", b"--kw", b"hb#1.secret=***"])
        self.assertNotIn(secret, self.omd.log_text())

    # -------------------------------------------------------------------------------- creating

    @staticmethod
    def new_object(path, **keywords):
        return {"path": path, "keywords": [
            {"section": section, "name": name, "value": value}
            for section, words in keywords.items() for name, value in words.items()]}

    def create(self, *objects, **fields):
        return self.omd.grpc.call("ActionService.CreateObjects", objects=objects, **fields)

    def conf(self, name):
        return read_bytes(os.path.join(self.omd.etc, name + ".conf")).decode()

    def test_objects_are_created_and_known(self):
        secret = str(uuid.uuid4())
        app = {"type": "simple", "start": "/bin/sleep 86397"}
        reply = self.create(
            self.new_object("made1", DEFAULT={"nodes": "node1", "id": secret}, **{"app#1": app}),
            self.new_object("ns1/cfg/made2", DEFAULT={"id": secret}))
        self.assertEqual((list(reply.paths), reply.node), (["made1", "ns1/cfg/made2"], "node1"))
        wait_for(lambda: self.omd.instance("made1"), "made1 is known")
        self.assertNotIn(secret, self.conf("made1"))
        self.assertIn("start = /bin/sleep 86397", self.conf("made1"))
        file = os.path.join(self.omd.etc, "made1.conf")
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)
        self.assert_rpc_error(CODE.ALREADY_EXISTS, self.create, self.new_object("made1"),
                              reason="OBJECT_EXISTS")
        self.assertIn("86397", self.conf("made1"))
        self.create(self.new_object("made1", DEFAULT={"nodes": "node1", "id": secret}),
                    replace=True, restore=True)
        self.assertIn("id = " + secret, self.conf("made1"))
        self.assertNotIn("86397", self.conf("made1"))

    def test_one_broken_object_of_three_and_nothing_is_written(self):
        good = {"DEFAULT": {"nodes": "node1"}}
        error = self.assert_rpc_error(
            CODE.INVALID_ARGUMENT, self.create, self.new_object("three1", **good),
            self.new_object("three2", DEFAULT={"nodes": "node1", "orchestrate": "sometimes"}),
            self.new_object("three3", **good))
        for part in ("three2", "orchestrate", "sometimes"):
            self.assertIn(part, error.text)
        self.assertIn("objects[1].DEFAULT.orchestrate", repr(error.details))
        self.assert_rpc_error(CODE.ALREADY_EXISTS, self.create,
                              self.new_object("three1", **good), self.new_object("svc1", **good))
        for objects in ((), (self.new_object("../x"),), (self.new_object("a"),) * 2,
                        (self.new_object("cluster"),)):
            self.assert_rpc_error(CODE.INVALID_ARGUMENT, self.create, *objects)
        # Others may be written meanwhile, by what the tests before have set in motion.
        self.assertEqual([name for name in os.listdir(self.omd.etc)
                          if "three" in name or name in ("a.conf", "x.conf")], [])

    def test_created_objects_are_provisioned_if_asked(self):
        folder = os.path.join(self.omd.root, "made-folder")
        reply = self.create(self.new_object("made3", DEFAULT={"nodes": "node1"}, **{
            "fs#1": {"type": "directory", "path": folder}}), provision=True,
            request_id=str(uuid.uuid4()))
        self.assertEqual(list(reply.warnings), [])
        wait_for(lambda: os.path.isdir(folder), "the folder is there")

    # --------------------------------------------------------------------------- slow readers

    def peak_bytes(self):
        for line in read_bytes("/proc/%d/status" % self.omd.pid).splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    def test_a_slow_owner_slows_the_pipe_and_not_the_daemon(self):
        small = {"grpc__http2__bdp_probe": 0, "grpc__http2__lookahead_bytes": 65536}
        before = self.peak_bytes()
        with grpc_api.Api("unix:" + self.omd.grpc_socket, **small) as api, \
                grpc_api.Api("unix:" + self.omd.grpc_socket) as other:
            owner = self.stream("flood", api=api)
            action = begun(owner)
            watcher = []
            attached = self.attach(action.id, api=other)
            reader = threading.Thread(target=lambda: watcher.extend(
                (message.WhichOneof("kind"), len(message.output.data), message.output.missed_bytes)
                for message in attached))
            reader.start()
            # The owner takes one message, and then none until the command stands still.
            received = len(until(owner, "output")[-1].output.data)
            told = [-1]

            def stands_still():
                now, last = self.get(action.id).stdout_bytes, told[0]
                told[0] = now
                return now > 0 and now == last

            wait_for(stands_still, "the command waits for its reader", interval=0.3)
            self.assertEqual(self.state(action.id), "RUNNING")
            self.assertLess(told[0], 16 * MEBIBYTE)
            # Others are served meanwhile.
            self.assertEqual(self.run_action("both").action.exit_code, 3)
            end = None
            for message in owner:
                if message.WhichOneof("kind") == "output":
                    self.assertEqual((message.output.offset, message.output.missed_bytes),
                                     (received, 0))
                    received += len(message.output.data)
                elif message.WhichOneof("kind") == "end":
                    end = message.end
            self.assertEqual((received, end.exit_code), (FLOOD_BYTES, 0))
            reader.join()
        self.assertEqual(watcher[-1][0], "end")
        self.assertEqual(sum(size + missed for _, size, missed in watcher), FLOOD_BYTES)
        self.assertLess(self.peak_bytes() - before, memory_limit(32 * MEBIBYTE))

    def test_a_flood_without_reader_runs_through_and_its_end_is_kept(self):
        before = self.peak_bytes()
        reply = self.run_action("flood-hold")
        self.assertTrue(reply.output_truncated)
        self.assertEqual(reply.standard_output, b"\0" * MEBIBYTE)
        self.assertEqual(reply.standard_error, b"flooded\n")
        self.assertEqual(reply.action.stdout_bytes, FLOOD_BYTES)
        messages = list(self.attach(reply.action.id))
        first = next(message.output for message in messages
                     if message.WhichOneof("kind") == "output")
        self.assertGreater(first.missed_bytes, FLOOD_BYTES - 2 * MEBIBYTE)
        self.assertEqual(first.missed_bytes, first.offset)
        self.assertEqual(text_of(messages, STDERR), b"flooded\n")
        self.assertLess(self.peak_bytes() - before, memory_limit(32 * MEBIBYTE))

    # ------------------------------------------------------------------------ limits and the end

    def test_more_commands_than_may_run_are_refused(self):
        running = []
        try:
            with self.assertRaises(grpc.RpcError) as caught:
                for _ in range(65):
                    running.append(self.run_action("rest",
                                                   request={"asynchronous": True}).action.id)
            error = grpc_api.Error(caught.exception)
            self.assertEqual((error.code, error.reason),
                             (CODE.RESOURCE_EXHAUSTED, "TOO_MANY_ACTIONS"))
        finally:
            for action_id in running:
                self.omd.grpc.call("ActionService.KillAction", action_id=action_id, signal="KILL")
        for action_id in running:
            self.wait_state(action_id, "KILLED")

    def test_a_daemon_that_stops_leaves_commands_running(self):
        app = self.app
        omd = self.start_omd(prepare=self.prepare)
        type(self).app = app  # That of the shared daemon.
        wait_for(lambda: omd.instance("svc1"), "svc1 is known")
        call = self.stream("step", "go-stop", api=omd.grpc)
        action = begun(call)
        failed = []
        waiting = threading.Thread(target=lambda: failed.append(
            self.assert_rpc_error(CODE.UNAVAILABLE, self.run_action, "step", "go-stop",
                                  api=omd.grpc, reason="DAEMON_STOPPING")))
        waiting.start()
        wait_for(lambda: len(omd.grpc.call("ActionService.ListActions",
                                           only_running=True).actions) == 2, "both run")
        omd.process.send_signal(signal.SIGTERM)
        with self.assertRaises(grpc.RpcError) as caught:
            list(call)
        self.assertEqual(caught.exception.code(), CODE.UNAVAILABLE)
        waiting.join()
        self.assertEqual(len(failed), 1)
        self.assertEqual(omd.wait_exit(), 0)
        self.assertTrue(Process(action.pid).alive)


KILLED_CLIENT = """
import sys
sys.path.insert(0, sys.argv[1])
import grpc_api
call = grpc_api.Api(sys.argv[2]).stream(
    "ActionService.StreamAction", timeout=300, command={"path": "svc1", "arguments": [b"flood"]})
message = next(call)
while message.WhichOneof("kind") != "action":
    message = next(call)
print(message.action.id, flush=True)
sys.stdin = None
import signal
signal.pause()
"""


if __name__ == "__main__":
    unittest.main(verbosity=2)

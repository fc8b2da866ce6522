"""Starts real daemons for the integration tests, each in a root folder of its own.

A test gets an `Omd` from `OmdTestCase.start_omd()`: fresh root, free ports, ready when that returns, logs
printed if the test fails, everything it started ended and checked for at the end. Conditions are
waited for with `wait_for`, whose deadline is a bound for a hopeless case and no measurement.
"""

import ctypes
import fcntl
import glob
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

# Children are spawned while channels are open; the library's fork handlers would only complain.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import grpc  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(SOURCE, "tests", "compat"))
sys.path.insert(0, HERE)
import grpc_api  # noqa: E402
import legacy_client as legacy  # noqa: E402

BIN = os.environ.get("OM_BIN_DIR") or os.path.join(SOURCE, "build", "debug", "bin")
GOLDEN = os.path.join(SOURCE, "tests", "golden", "compat")

SECRET = "0123456789abcdef0123456789abcdef"
CLUSTER = "demo"
CLUSTER_ID = "5b3c3e6e-9d0f-4c6e-9b57-0242ac120002"

# Generous: sanitized builds on a loaded machine with two cores have to fit.
READY_SECONDS = 90
WAIT_SECONDS = 60


def seed_from_environment():
    """Seed of a random test: OM_TEST_SEED, or a new one. Printed, so that a failure can be repeated."""
    seed = int(os.environ.get("OM_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print("seed: OM_TEST_SEED=%d" % seed, flush=True)
    return seed


def wait_for(condition, what, deadline_seconds=WAIT_SECONDS, interval=0.05):
    """Returns the first true value of `condition()`; fails the test if none comes in time.

    `what` names the condition, or is a function that is asked at the end. An AssertionError in the
    condition counts as "not yet" and is shown if it is the last word.
    """
    end = time.monotonic() + deadline_seconds
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = None
        except AssertionError as error:
            last = error
        if time.monotonic() > end:
            text = what() if callable(what) else what
            raise AssertionError(
                "not within %d s: %s%s" % (deadline_seconds, text, ": %s" % last if last else ""))
        time.sleep(interval)


def memory_limit(size):
    """How many bytes a daemon that may grow by `size` may grow by in this build.

    A sanitizer pads what is allocated and keeps what is freed (quarantine_size_mb).
    """
    return 2 * size + (16 << 20) if os.environ.get("OM_SANITIZED") else size


def golden(name):
    with open(os.path.join(GOLDEN, name), encoding="utf-8") as stream:
        return json.load(stream)


# ------------------------------------------------------------------------------------------ ports

_held_ports = []


def free_port():
    """A TCP port that no other test holds, below the range the kernel hands out by itself.

    The lock file is held until this process ends, so tests that run in parallel never collide.
    """
    folder = os.path.join(tempfile.gettempdir(), "omd-test-ports")
    os.makedirs(folder, exist_ok=True)
    for port in random.SystemRandom().sample(range(20000, 32000), 500):
        lock = open(os.path.join(folder, str(port)), "w", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _held_ports.append(lock)
        return port
    raise RuntimeError("no free port found")


# -------------------------------------------------------------------------------------- processes


def read_bytes(path):
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


class Process:
    """What /proc tells of a process."""

    def __init__(self, pid):
        self.pid = pid
        self.command = read_bytes("/proc/%d/cmdline" % pid).replace(b"\0", b" ").decode(
            errors="replace").strip()
        self.environment = read_bytes("/proc/%d/environ" % pid)
        status = read_bytes("/proc/%d/stat" % pid).rpartition(b")")[2].split()
        self.state = status[0].decode() if status else "gone"

    @property
    def alive(self):
        return self.state not in ("gone", "Z", "X")

    def __repr__(self):
        return "%d [%s] %s" % (self.pid, self.state, self.command[:120])


def processes_with(marker):
    """Living processes, without this one, whose environment or command line holds `marker`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            process = Process(int(name))
            if process.alive and (marker in process.environment
                                  or marker.decode() in process.command):
                found.append(process)
    return found


def end_process(pid, signal_number):
    try:
        os.kill(pid, signal_number)
    except ProcessLookupError:
        pass


# ----------------------------------------------------------------------------------------- daemon


class Omd:
    """One daemon with its root folder. Made by OmdTestCase.start_omd()."""

    def __init__(self, nodename="node1", nodes=("node1",), secret=SECRET, cluster=CLUSTER,
                 node_conf=None, cluster_conf=None, environment=None, generate=False,
                 extra_arguments=(), launcher=()):
        self.nodename = nodename
        self.nodes = list(nodes)
        self.secret = secret
        self.cluster = cluster
        self.marker = "omd-test-%s" % uuid.uuid4().hex
        # Short: the path of a Unix socket has at most 107 characters.
        self.root = tempfile.mkdtemp(prefix="omd-")
        self.port = free_port()
        self.grpc_port = free_port()
        self.process = None
        self.extra_arguments = list(extra_arguments)
        self.launcher = list(launcher)  # A program that becomes omd, with its arguments.
        self.environment = dict(os.environ, OM_TEST_MARKER=self.marker, **(environment or {}))
        self.environment.pop("OMD_NODENAME", None)
        self.output_path = os.path.join(self.root, "output.txt")
        self.output_checked = 0
        self._grpc = None
        self.expected_exit = {0}
        self.packet_door = (node_conf or {}).get("compat", {}).get("enabled") != "false"
        os.makedirs(self.etc)
        if not generate:
            self.node_conf = {"listener": {"addr": "127.0.0.1", "port": self.port,
                                           "grpc_addr": "127.0.0.1", "grpc_port": self.grpc_port}}
            self.cluster_conf = {"cluster": {"name": cluster, "secret": secret,
                                             "nodes": " ".join(nodes), "id": CLUSTER_ID}}
            for target, more in ((self.node_conf, node_conf), (self.cluster_conf, cluster_conf)):
                for section, keywords in (more or {}).items():
                    target.setdefault(section, {}).update(keywords)
            self.write_node_conf()
            self.write_cluster_conf()

    # Paths.
    @property
    def etc(self):
        return os.path.join(self.root, "etc")

    @property
    def var(self):
        return os.path.join(self.root, "var")

    @property
    def log(self):
        return os.path.join(self.root, "log")

    @property
    def local_socket(self):
        return os.path.join(self.var, "lsnr", "lsnr.sock")

    @property
    def grpc_socket(self):
        return os.path.join(self.var, "lsnr", "grpc.sock")

    @property
    def node_conf_path(self):
        return os.path.join(self.etc, "node.conf")

    @property
    def cluster_conf_path(self):
        return os.path.join(self.etc, "cluster.conf")

    # Configuration.
    @staticmethod
    def conf_text(sections):
        lines = []
        for section, keywords in sections.items():
            lines.append("[%s]" % section)
            lines += ["%s = %s" % (name, value) for name, value in keywords.items()]
            lines.append("")
        return "\n".join(lines)

    @staticmethod
    def replace_file(path, text):
        """Replaces a file as an editor does, with a timestamp later than the one before."""
        before = os.stat(path).st_mtime_ns if os.path.exists(path) else 0
        with open(path + ".new", "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(path + ".new", 0o600)
        now = max(time.time_ns(), before + 1_000_000)
        os.utime(path + ".new", ns=(now, now))
        os.replace(path + ".new", path)

    def write_node_conf(self, text=None):
        self.replace_file(self.node_conf_path,
                          self.conf_text(self.node_conf) if text is None else text)

    def write_cluster_conf(self, text=None):
        self.replace_file(self.cluster_conf_path,
                          self.conf_text(self.cluster_conf) if text is None else text)

    def touch(self, path):
        later = max(time.time_ns(), os.stat(path).st_mtime_ns + 1_000_000)
        os.utime(path, ns=(later, later))

    def write_service(self, name, sections):
        """Writes a service's configuration, with an id unless it is given."""
        sections = {section: dict(keywords) for section, keywords in sections.items()}
        default = {"nodes": " ".join(self.nodes), "id": str(uuid.uuid4())}
        default.update(sections.pop("DEFAULT", {}))
        self.replace_file(os.path.join(self.etc, "%s.conf" % name),
                          self.conf_text({"DEFAULT": default, **sections}))

    # Life.
    def program(self, name):
        return os.path.join(BIN, name)

    def command(self):
        return [*self.launcher, self.program("omd"), "--root", self.root, "--nodename", self.nodename,
                *self.extra_arguments]

    def start(self, wait=True):
        output = open(self.output_path, "ab")
        with output:
            self.process = subprocess.Popen(self.command(), env=self.environment, cwd=self.root,
                                            stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise RuntimeError("omd ended with %d before it was ready" % self.process.returncode)
            if not os.path.exists(self.grpc_socket):
                return False
            try:
                return self.health("") == "SERVING"
            except grpc.RpcError:
                return False

        wait_for(ready, "omd is ready", READY_SECONDS)
        if self.packet_door:
            wait_for(self.listening, "the packet listener has bound its port, or says why not",
                     READY_SECONDS)

    def listening(self):
        """Whether the packet listener has tried all of its addresses."""
        status = self.grpc.call("DaemonService.GetStatus", page_size=1)
        return any(thread.endpoints or thread.alerts
                   for thread in status.threads if thread.id == "listener")

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait_exit(self, deadline_seconds=WAIT_SECONDS):
        """Waits until the daemon has ended by itself and returns its exit code."""
        try:
            code = self.process.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("omd still runs after %d s" % deadline_seconds) from None
        self.drop_channel()
        return code

    def terminate(self, deadline_seconds=WAIT_SECONDS):
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_exit(deadline_seconds)

    def stop(self):
        if not self.running():
            return
        code = self.terminate()
        if code not in self.expected_exit:
            raise AssertionError("omd ended with %d after SIGTERM" % code)

    def kill(self):
        """SIGKILL: as a crash."""
        self.process.kill()
        self.process.wait()
        self.drop_channel()

    def restart(self):
        self.stop()
        return self.start()

    # Doors.
    @property
    def local(self):
        return legacy.ClearClient(self.local_socket)

    def packet(self, nodename=None, clustername=None, secret=None, port=None):
        return legacy.SealedClient("127.0.0.1", port or self.port, secret or self.secret,
                                   clustername or self.cluster, nodename or self.nodename,
                                   reply_cluster=self.cluster)

    @property
    def grpc(self):
        """Calls over the Unix socket, as root."""
        if self._grpc is None:
            self._grpc = grpc_api.Api("unix:" + self.grpc_socket)
        return self._grpc

    def guest(self):
        """Calls over loopback TCP. The caller closes it."""
        return grpc_api.Api("127.0.0.1:%d" % self.grpc_port)

    def drop_channel(self):
        if self._grpc is not None:
            self._grpc.close()
            self._grpc = None

    def health(self, name, api=None):
        """Health by name; SERVICE_UNKNOWN where the server does not know it."""
        try:
            reply = (api or self.grpc).call("grpc.health.v1.Health.Check", service=name)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return "SERVICE_UNKNOWN"
            raise
        return reply.DESCRIPTOR.enum_types_by_name["ServingStatus"].values_by_number[
            reply.status].name

    def omctl(self, *arguments, timeout=60, check=None):
        """Runs omctl. With `check`, fails unless it exits with that code."""
        done = subprocess.run([self.program("omctl"), "--root", self.root, *arguments],
                              env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                              encoding="utf-8", check=False)
        if check is not None and done.returncode != check:
            raise AssertionError("omctl %s exited with %d instead of %d\nstdout: %s\nstderr: %s" % (
                " ".join(arguments), done.returncode, check, done.stdout, done.stderr))
        return done

    # What a test asks often.
    def status(self, **options):
        """The legacy status document."""
        return self.local.request("daemon_status", options or None)

    def blacklist(self):
        """Counts of invalid messages by sender, over the clear socket."""
        reply = self.local.request("daemon_blacklist_status")
        if reply.get("status") != 0:
            raise AssertionError("blacklist status: %r" % (reply,))
        return reply["data"]

    def clear_blacklist(self):
        reply = self.local.request("daemon_blacklist_clear")
        if reply != {"status": 0}:
            raise AssertionError("blacklist clear: %r" % (reply,))

    def counters(self):
        return dict(self.grpc.call("DaemonService.GetStats").counters)

    def instance(self, path):
        """Instance data of a service on this node in the legacy document, or None."""
        node = self.status()["monitor"]["nodes"].get(self.nodename, {})
        return node.get("services", {}).get("status", {}).get(path)

    def wait_instance(self, path, avail, deadline_seconds=WAIT_SECONDS):
        """Waits until the instance has reached `avail` and nothing is going on with it any more."""
        seen = [None]

        def reached():
            seen[0] = instance = self.instance(path)
            return (instance and instance.get("avail") == avail
                    and instance["monitor"].get("status") == "idle"
                    and not instance["monitor"].get("global_expect") and instance)

        return wait_for(reached, lambda: "%s is %s; last seen %s" % (
            path, avail, json.dumps(seen[0])), deadline_seconds)

    def wait_idle(self):
        """Waits until the node monitor is idle."""
        wait_for(lambda: self.status()["monitor"]["nodes"].get(self.nodename, {}).get(
            "monitor", {}).get("status") == "idle", "the node monitor is idle")

    def log_text(self):
        parts = []
        for path in sorted(glob.glob(os.path.join(self.log, "**"), recursive=True)):
            if os.path.isfile(path):
                parts.append(read_bytes(path).decode(errors="replace"))
        return "".join(parts)

    def output_text(self):
        return read_bytes(self.output_path).decode(errors="replace")

    def memory_bytes(self):
        for line in read_bytes("/proc/%d/status" % self.pid).splitlines():
            if line.startswith(b"VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    # The end.
    def describe(self):
        """What a failed test prints."""
        parts = ["---- root %s, command %s" % (self.root, " ".join(self.command()))]
        if self.process is not None:
            parts.append("---- exit code so far: %s" % self.process.poll())
        parts.append("---- output:\n%s" % self.output_text()[-6000:])
        for path in sorted(glob.glob(os.path.join(self.log, "**"), recursive=True)):
            if os.path.isfile(path):
                parts.append("---- %s:\n%s" % (
                    os.path.relpath(path, self.root),
                    read_bytes(path).decode(errors="replace")[-12000:]))
        return "\n".join(parts)

    def problems(self):
        """What must not be in any log, whatever the test was about."""
        found = []
        text = self.log_text() + self.output_text()
        if self.secret and self.secret in text:
            found.append("the cluster secret is in a log")
        for pattern in (r"ERROR: \w+Sanitizer.*", r"runtime error: .*", r"Check failed: .*",
                        r"terminate called.*", r"pure virtual.*"):
            match = re.search(pattern, text)
            if match:
                found.append("in the output: " + match.group(0)[:300])
        return found

    def children(self):
        """Living processes that this daemon, or what it started, has started."""
        return processes_with(self.marker.encode())

    def close(self):
        """Ends everything and returns what was wrong about it."""
        found = []
        try:
            if self.running():
                try:
                    self.stop()
                except AssertionError as error:
                    found.append(str(error))
                    self.kill()
            elif self.process is not None and self.process.returncode not in (
                    *self.expected_exit, -signal.SIGKILL):
                found.append("omd ended by itself with %d" % self.process.returncode)
            self.drop_channel()
            found += self.problems()
        finally:
            # Instances outlive their daemon by design; here they end, and nothing may be left.
            end = time.monotonic() + 30
            left = self.children()
            while left and time.monotonic() < end:
                for process in left:
                    end_process(process.pid, signal.SIGKILL)
                time.sleep(0.05)
                left = self.children()
            if left:
                found.append("processes left: %r" % left)
            shutil.rmtree(self.root, ignore_errors=True)
        return found


# --------------------------------------------------------------------------------------- services

APP_SCRIPT = r"""#!/bin/sh
# A forking app that writes down what is done to it. Lines of the journal: begin-start, end-start, begin-stop,
# end-stop, and "double" when it is started while it runs.
here=%(folder)s
alive() {
  [ -e "$here/pid" ] && read pid < "$here/pid" && [ -d "/proc/$pid" ] &&
    [ "$(tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null)" = "sleep 86399.%(tag)s " ]
}
case "$1" in
start)
  echo "begin-start" >> "$here/journal"
  alive && echo "double" >> "$here/journal"
  [ -e "$here/fail-start" ] && exit 1
  sleep %(pause)s
  setsid sleep 86399.%(tag)s < /dev/null > /dev/null 2>&1 &
  echo "$!" > "$here/pid"
  # Started only when a status would find it.
  until alive; do sleep 0.01; done
  echo "end-start" >> "$here/journal"
  ;;
stop)
  echo "begin-stop" >> "$here/journal"
  sleep %(pause)s
  if alive; then kill "$pid"; while alive; do sleep 0.01; done; fi
  echo "end-stop" >> "$here/journal"
  ;;
status)
  if alive; then exit 0; fi
  exit 1
  ;;
esac
"""


class App:
    """A service with one forking app that keeps a journal."""

    def __init__(self, omd, name="svc1", pause="0", **default):
        self.omd = omd
        self.name = name
        self.folder = os.path.join(omd.root, "app-" + name)
        os.makedirs(self.folder)
        self.tag = "%06d" % random.SystemRandom().randrange(1000000)
        script = os.path.join(self.folder, "app.sh")
        with open(script, "w", encoding="utf-8") as stream:
            stream.write(APP_SCRIPT % {"folder": self.folder, "tag": self.tag, "pause": pause})
        os.chmod(script, stat.S_IRWXU)
        self.sections = {
            "DEFAULT": {"nodes": " ".join(omd.nodes), **default},
            "app#1": {"type": "forking", "script": script, "start": "1", "stop": "1",
                      "check": "1"},
        }
        omd.write_service(name, self.sections)

    def journal(self):
        return read_bytes(os.path.join(self.folder, "journal")).decode().split()

    def starts(self):
        return self.journal().count("begin-start")

    def processes(self):
        """Living processes of the app."""
        wanted = "sleep 86399." + self.tag
        return [process for process in self.omd.children() if process.command == wanted]

    def fail_starts(self, fail):
        path = os.path.join(self.folder, "fail-start")
        if fail:
            with open(path, "w", encoding="ascii"):
                pass
        else:
            os.unlink(path)

    def order(self, value, **options):
        """Gives an order on the clear socket and returns the reply."""
        return self.omd.local.request(
            "set_service_monitor", {"svcpath": self.name, "global_expect": value, **options})

    def check_journal(self):
        """Nothing was ever started twice, and no action ran beside another."""
        journal = self.journal()
        if "double" in journal:
            raise AssertionError("started while it was running: %s" % journal)
        if len(self.processes()) > 1:
            raise AssertionError("running twice: %r" % self.processes())
        for before, after in zip(journal, journal[1:]):
            if before.startswith("begin") and after != before.replace("begin", "end"):
                raise AssertionError("%s during %s: %s" % (after, before, journal))


# --------------------------------------------------------------------------------------- test case


class OmdTestCase(unittest.TestCase):
    """Starts daemons, prints their logs when a test fails, ends what it started.

    With OMD set by a subclass (a dictionary of Omd's arguments, may be empty) one daemon is shared by its tests as
    `self.omd`. Others come from start_omd().
    """

    OMD = None
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        if not os.access(os.path.join(BIN, "omd"), os.X_OK):
            raise unittest.SkipTest("no omd in %s; set OM_BIN_DIR" % BIN) if not os.environ.get(
                "OM_REQUIRE_OMD") else AssertionError("no omd in %s" % BIN)
        cls.omd = None
        if cls.OMD is not None:
            cls.omd = Omd(**cls.OMD)
            try:
                cls.prepare(cls.omd)
                cls.omd.start()
            except BaseException:
                print(cls.omd.describe(), file=sys.stderr)
                cls.omd.close()
                raise

    @classmethod
    def prepare(cls, omd):
        """Writes what the shared daemon shall find when it starts."""

    @classmethod
    def tearDownClass(cls):
        if cls.omd is not None:
            omd, cls.omd = cls.omd, None
            logs = omd.describe()
            problems = omd.close()
            if problems:
                print(logs, file=sys.stderr)
                raise AssertionError("; ".join(problems))

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        self._failed = lambda: len(result.failures) + len(result.errors) > before
        super().run(result)
        if self._failed() and self.omd is not None:
            print("==== %s failed; the shared daemon:\n%s" % (self.id(), self.omd.describe()),
                  file=sys.stderr, flush=True)
        return result

    def start_omd(self, start=True, prepare=None, **arguments):
        """A daemon for this test alone; `prepare(omd)` runs before it starts."""
        omd = Omd(**arguments)
        self.addCleanup(self._close, omd)
        if prepare is not None:
            prepare(omd)
        if start:
            omd.start()
        return omd

    def _close(self, omd):
        if self._failed():
            print("==== %s failed:\n%s" % (self.id(), omd.describe()), file=sys.stderr, flush=True)
        logs = omd.describe()
        problems = omd.close()
        if problems:
            if not self._failed():
                print("==== %s, at its end:\n%s" % (self.id(), logs), file=sys.stderr, flush=True)
            raise AssertionError("; ".join(problems))

    def assert_rpc_error(self, code, function, *arguments, reason=None, **fields):
        """Calls and expects an error; returns it decoded."""
        with self.assertRaises(grpc.RpcError) as caught:
            value = function(*arguments, **fields)
            if hasattr(value, "__next__"):
                for _ in value:
                    pass
        error = grpc_api.Error(caught.exception)
        self.assertEqual(error.code, code, error)
        if reason is not None:
            self.assertEqual(error.reason, reason, error)
        return error


def raise_descriptor_limit():
    """Lets this process open as many sockets as the hard limit allows."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def become_subreaper():
    """Orphans of a killed daemon become children of this process, so that none escapes unseen."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)

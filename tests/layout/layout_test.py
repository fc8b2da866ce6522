#!/usr/bin/python3
"""Keeps the tree in the shape that its README promises, by reading its text.

Fails on: an #include against the arrows, an include that is not from the top of the tree, generated
code or gRPC where it may not be, a header without guard, a folder of sources without README.md, a
warning or error log without an id that the runbook explains, and words that have no place in the
project's files. With --self-test it proves on small made-up trees
that each of these is found.

    tests/layout/layout_test.py            checks the tree that this file is in
    tests/layout/layout_test.py --self-test
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest

# What each folder may include beside itself. Arrows point down the list: a folder may see what stands
# above it, never what stands below, and neighbours of one level do not see each other. The exception,
# state seeing config, is for object paths, which both speak of.
BELOW_CONTROL = ["server/base", "server/config", "server/admission", "server/state"]
BELOW_SERVICE = BELOW_CONTROL + [
    "server/control", "server/core", "server/cluster", "server/crm", "server/logs", "server/guard",
]
MAY_INCLUDE = {
    "server/base": [],
    "server/guard": ["server/base"],
    "server/config": ["server/base"],
    "server/auth": ["server/base", "server/config"],
    "server/admission": ["server/base"],
    "server/state": ["server/base", "server/config"],
    "server/control": BELOW_CONTROL,
    "server/core": BELOW_CONTROL + ["server/control"],
    "server/cluster": BELOW_CONTROL + ["server/control", "server/core"],
    "server/crm": BELOW_CONTROL + ["server/control", "server/core"],
    "server/logs": BELOW_CONTROL + ["server/control", "server/core"],
    "server/service": BELOW_SERVICE + ["server/auth"],
    "server/rpc": BELOW_SERVICE + ["server/auth", "server/service"],
    "server/admin": BELOW_SERVICE + ["server/service"],
    "server/daemon": BELOW_SERVICE + [
        "server/auth", "server/service", "server/rpc", "server/admin", "compat/gateway", "compat/heartbeat",
        "compat/wire",
    ],
    "compat/wire": ["server/base"],
    "compat/heartbeat": BELOW_CONTROL + ["server/control", "server/core", "compat/wire"],
    "compat/gateway": BELOW_SERVICE + ["server/service", "compat/wire"],
    "compat/tools": ["server/base", "server/config", "compat/wire"],
    "client": ["server/base"],
}
TOPS = ("server", "compat", "client", "tests")

# Who may see generated messages, and who may see gRPC itself. omcrm and what it is made of must start
# in a millisecond and link neither.
NO_MESSAGES = {"server/base", "server/guard", "server/config", "server/auth", "server/admission",
               "server/crm", "server/control",
               "compat/wire", "compat/tools"}
MAY_USE_GRPC = {"server/rpc", "server/daemon", "server/cluster", "client"}

# Third-party headers that are off limits, with the reason.
BANNED_HEADERS = {
    "absl/synchronization/mutex.h": "the packaged absl::Mutex gives false races; use om::Mutex",
    "ranges": "clang 14 does not compile libstdc++ 12's views",
    "coroutine": "sessions are callbacks",
    "asio.hpp": "include the narrow headers",
}

# Paths of machines that the project was worked on; put together here so as not to name them.
BANNED_PATHS = ["/" + word + "/" for word in ("work", "root", "farm")]

# A warning or error log up to its first piece of text, and how that text must start.
RUNBOOK = "deploy/RUNBOOK.md"
LOG = re.compile(r"\bP?LOG(?:_[A-Z_]+)?\((?:WARNING|ERROR)\b[^;\"]*?<<\s*(\"[^\"]*\")?")
LOG_ID = re.compile(r"OM(?:-[A-Z0-9]+)+(?= )")
RUNBOOK_ROW = re.compile(r"^\| `(OM-[A-Z0-9-]+)` \|", re.MULTILINE)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SOURCE_SUFFIXES = (".h", ".cc")
TEXT_LIMIT_BYTES = 4 << 20


def files_of(top):
    """Files of the project, as paths relative to `top`: what git would commit, or, in a tree without
    git (a tarball, a container), everything outside build folders."""
    try:
        listed = subprocess.run(
            ["git", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        prefix = subprocess.run(["git", "-C", top, "rev-parse", "--show-prefix"],
                                check=True, stdout=subprocess.PIPE).stdout.strip()
        if listed and not prefix:
            names = os.fsdecode(listed).split("\0")
            return sorted(n for n in names if n and os.path.isfile(os.path.join(top, n)))
    except (OSError, subprocess.CalledProcessError):
        pass
    found = []
    for folder, subfolders, names in os.walk(top):
        subfolders[:] = [s for s in subfolders if s not in ("build", ".git", "node_modules")]
        found += [os.path.relpath(os.path.join(folder, name), top) for name in names]
    return sorted(found)


def module_of(path):
    """The key of MAY_INCLUDE that `path` falls under, "tests", or None. The longest match wins."""
    if path.startswith("tests/"):
        return "tests"
    best = None
    for module in MAY_INCLUDE:
        if path.startswith(module + "/") and (best is None or len(module) > len(best)):
            best = module
    return best


def check_includes(top, path, lines):
    module = module_of(path)
    if module is None:
        yield f"{path}: its folder is not in the table of tests/layout/layout_test.py"
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, name = match.groups()
        where = f"{path}:{number}: includes {name}"
        if name in BANNED_HEADERS or name.startswith("boost/"):
            yield f"{where}: {BANNED_HEADERS.get(name, 'Boost is not one of our libraries')}"
        if module != "tests":
            if name.endswith(".grpc.pb.h") or name.startswith(("grpc/", "grpcpp/")):
                if module not in MAY_USE_GRPC:
                    yield f"{where}: {module} knows nothing of gRPC"
            elif name.endswith(".pb.h") or name.startswith("google/protobuf/"):
                if module in NO_MESSAGES:
                    yield f"{where}: {module} knows nothing of protobuf"
        if quote == "<":
            if name.split("/")[0] in TOPS:
                yield f"{where}: our headers are quoted"
            continue
        if "/" not in name or name.startswith("."):
            yield f"{where}: includes start at the top of the tree"
            continue
        if name.split("/")[0] not in TOPS:
            continue
        # Generated code stands in the build tree; its definition must be here.
        source = re.sub(r"(\.grpc)?\.pb\.h$", ".proto", name)
        if not os.path.isfile(os.path.join(top, source)):
            yield f"{where}: there is no such file"
        target = module_of(name)
        if module == "tests" or target == module:
            continue
        if target == "tests":
            yield f"{where}: nothing outside tests/ includes tests/"
        elif target not in MAY_INCLUDE[module]:
            yield f"{where}: {module} may not include {target}"


def check_guard(path, lines):
    expected = "OM_" + re.sub(r"[^A-Za-z0-9]", "_", path).upper() + "_"
    code = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("//")]
    if code[:2] != [f"#ifndef {expected}", f"#define {expected}"]:
        yield f"{path}: does not start with the guard {expected}"
    elif not code[-1].startswith("#endif"):
        yield f"{path}: does not end with the guard's #endif"


def logs_of(path, text):
    """Pairs of place and id (None: it has none) of the warnings and errors that `text` logs."""
    for match in LOG.finditer(text):
        log_id = LOG_ID.match((match.group(1) or "")[1:])
        line = text.count("\n", 0, match.start()) + 1
        yield f"{path}:{line}", log_id.group() if log_id else None


def check_logs(logs, runbook):
    """`runbook` is the text of the operators' document. Both ways: no row without a log either."""
    rows = RUNBOOK_ROW.findall(runbook)
    for place, log_id in logs:
        if log_id is None:
            yield f"{place}: a warning or error does not start with an id like \"OM-LSNR-ADDRESS \""
        elif log_id not in rows:
            yield f"{place}: {log_id} is not explained in {RUNBOOK}"
    logged = {log_id for _, log_id in logs}
    for row in rows:
        if row not in logged:
            yield f"{RUNBOOK}: explains {row}, which nothing logs"
        if rows.count(row) > 1:
            yield f"{RUNBOOK}: explains {row} more than once"


def check_words(path, text):
    for banned in BANNED_PATHS:
        # Only as an absolute path: the same word inside an object's path is something else.
        for match in re.finditer(r"(?<![\w.>}\]*-])" + re.escape(banned), text):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{path}:{line}: names {banned}, a path of somebody's machine"


def check_tree(top):
    """All that is wrong with the tree at `top`, one sentence each, in the order of its files."""
    files = files_of(top)
    findings = []
    folders = set()
    logs = []
    runbook = ""
    for path in files:
        full = os.path.join(top, path)
        if os.path.getsize(full) > TEXT_LIMIT_BYTES:
            continue
        with open(full, "rb") as file:
            raw = file.read()
        if b"\0" in raw:
            continue
        text = raw.decode("utf-8", errors="replace")
        findings += check_words(path, text)
        if path == RUNBOOK:
            runbook = text
        if not path.endswith(SOURCE_SUFFIXES) or path.split("/")[0] not in TOPS:
            continue
        lines = text.splitlines()
        findings += check_includes(top, path, lines)
        if path.endswith(".h"):
            findings += check_guard(path, lines)
        if not path.startswith("tests/"):
            folders.add(os.path.dirname(path))
            logs += logs_of(path, text)
    for folder in sorted(folders):
        if f"{folder}/README.md" not in files:
            findings.append(f"{folder}: has sources and no README.md")
    findings += check_logs(logs, runbook)
    return findings


class FindsWhatItLooksFor(unittest.TestCase):
    """Each test makes a tree with one thing wrong and expects exactly that to be found."""

    def findings(self, files):
        with tempfile.TemporaryDirectory() as top:
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(top, path)), exist_ok=True)
                with open(os.path.join(top, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return check_tree(top)

    @staticmethod
    def header(path, body=""):
        guard = "OM_" + re.sub(r"[^A-Z0-9]", "_", path.upper()) + "_"
        return f"// Says what it is.\n#ifndef {guard}\n#define {guard}\n{body}#endif  // {guard}\n"

    def tree(self, path, body, *others):
        """A tree of `path`, holding `body`, and of empty headers, with every README in place."""
        files = {path: self.header(path, body) if path.endswith(".h") else body}
        for other in others:
            files[other] = self.header(other)
        for name in list(files):
            files[os.path.dirname(name) + "/README.md"] = "What it is.\n"
        return files

    def assert_one(self, files, expected):
        found = self.findings(files)
        self.assertEqual(len(found), 1, found)
        self.assertIn(expected, found[0])

    def test_a_tree_with_nothing_wrong_passes(self):
        body = '#include <string>\n\n#include "absl/status/status.h"\n#include "server/base/a.h"\n'
        self.assertEqual(self.findings(self.tree("server/state/b.h", body, "server/base/a.h")), [])

    def test_every_arrow_of_the_table_that_is_turned_round_is_found(self):
        for module, allowed in MAY_INCLUDE.items():
            for target in allowed:
                self.assertNotIn(module, MAY_INCLUDE[target], f"{module} and {target}: a circle")
                self.assert_one(
                    self.tree(f"{target}/a.cc", f'#include "{module}/b.h"\n', f"{module}/b.h"),
                    f"{target} may not include {module}")

    def test_the_two_doors_do_not_see_each_other(self):
        for one in ("compat/gateway", "compat/wire", "compat/heartbeat", "compat/tools"):
            self.assert_one(self.tree("server/rpc/a.cc", f'#include "{one}/b.h"\n', f"{one}/b.h"),
                            f"server/rpc may not include {one}")
            self.assert_one(
                self.tree(f"{one}/a.cc", '#include "server/rpc/b.h"\n', "server/rpc/b.h"),
                f"{one} may not include server/rpc")

    def test_nothing_includes_tests(self):
        self.assert_one(
            self.tree("server/base/a.cc", '#include "tests/support/b.h"\n', "tests/support/b.h"),
            "nothing outside tests/ includes tests/")

    def test_tests_include_anything(self):
        self.assertEqual(
            self.findings(self.tree("tests/a/a.cc", '#include "server/rpc/b.h"\n',
                                    "server/rpc/b.h")), [])

    def test_an_arrow_with_odd_spacing_is_found(self):
        self.assert_one(
            self.tree("server/base/a.cc", ' # include  "server/rpc/b.h"\n', "server/rpc/b.h"),
            "server/base may not include server/rpc")

    def test_includes_not_from_the_top_are_found(self):
        self.assert_one(self.tree("server/base/a.cc", '#include "b.h"\n', "server/base/b.h"),
                        "start at the top")
        self.assert_one(self.tree("server/base/a.cc", '#include "../base/b.h"\n',
                                  "server/base/b.h"), "start at the top")
        self.assert_one(self.tree("server/base/a.cc", "#include <server/base/b.h>\n",
                                  "server/base/b.h"), "are quoted")
        self.assert_one(self.tree("server/base/a.cc", '#include "server/base/b.h"\n'),
                        "no such file")

    def test_generated_code_and_grpc_where_they_may_not_be_are_found(self):
        self.assert_one(self.tree("server/crm/a.cc", '#include "om/control/v1/daemon.pb.h"\n'),
                        "knows nothing of protobuf")
        self.assert_one(
            self.tree("server/service/a.cc", '#include "om/control/v1/daemon.grpc.pb.h"\n'),
            "knows nothing of gRPC")
        self.assert_one(self.tree("compat/gateway/a.cc", "#include <grpcpp/server.h>\n"),
                        "knows nothing of gRPC")
        self.assertEqual(
            self.findings(self.tree("server/rpc/a.cc", "#include <grpcpp/server.h>\n")), [])

    def test_generated_headers_beside_their_definition_are_fine(self):
        files = self.tree("tests/bench/a.cc", '#include "tests/bench/echo.grpc.pb.h"\n')
        self.assert_one(files, "no such file")
        files["tests/bench/echo.proto"] = 'syntax = "proto3";\n'
        self.assertEqual(self.findings(files), [])

    def test_headers_that_are_off_limits_are_found(self):
        self.assert_one(
            self.tree("server/base/a.cc", '#include "absl/synchronization/mutex.h"\n'),
            "om::Mutex")
        self.assert_one(self.tree("server/base/a.cc", "#include <boost/asio/ip/tcp.hpp>\n"),
                        "Boost")

    def test_headers_without_guard_are_found(self):
        files = self.tree("server/base/a.cc", "")
        files["server/base/b.h"] = "int x();\n"
        self.assert_one(files, "does not start with the guard OM_SERVER_BASE_B_H_")
        files["server/base/b.h"] = self.header("server/base/c.h")
        self.assert_one(files, "does not start with the guard OM_SERVER_BASE_B_H_")
        files["server/base/b.h"] = self.header("server/base/b.h") + "int x();\n"
        self.assert_one(files, "does not end")

    def test_a_folder_without_readme_is_found(self):
        files = self.tree("server/base/a.cc", "")
        del files["server/base/README.md"]
        self.assert_one(files, "has sources and no README.md")

    def test_a_folder_that_the_table_does_not_know_is_found(self):
        self.assert_one(self.tree("server/gadgets/a.cc", ""), "not in the table")

    def test_logs_and_runbook_that_disagree_are_found(self):
        def files(code, runbook):
            return {**self.tree("server/base/a.cc", code), "deploy/RUNBOOK.md": runbook}

        logs = 'void F() {\n  LOG(WARNING)\n      << "OM-BASE-ODD it is " << 3;\n  LOG(INFO) << 1;\n}\n'
        row = "| `OM-BASE-ODD` | odd | even it out |\n"
        self.assertEqual(self.findings(files(logs, row)), [])
        self.assert_one(files(logs, ""), "OM-BASE-ODD is not explained")
        self.assert_one(files("", row), "which nothing logs")
        self.assert_one(files('LOG(ERROR) << "odd: " << 3;\n', ""), "a.cc:1: a warning or error")
        self.assert_one(files('LOG(ERROR) << status;\n', ""), "does not start with an id")
        self.assert_one(files('LOG_IF(ERROR, bad) << "OM-BASE-ODD";\n', ""), "does not start")

    def test_paths_of_machines_are_found_in_any_file(self):
        for banned in BANNED_PATHS:
            for text in (f"see {banned}x\n", f'"{banned}x"\n', f"{banned}x\n"):
                self.assert_one({"deploy/notes.md": text}, "somebody's machine")
            self.assertEqual(self.findings({"deploy/notes.md": f"/om/svc{banned}x\n"}), [])


def main():
    if "--self-test" in sys.argv[1:]:
        sys.argv.remove("--self-test")
        unittest.main()
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    findings = check_tree(top)
    for finding in findings:
        print(finding)
    print(f"layout: {len(findings)} findings" if findings else "layout: nothing found.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

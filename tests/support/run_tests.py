#!/usr/bin/python3
"""Runs the test file given, with unittest; exits 77 if all that it has was skipped.

    run_tests.py tests/integration/test_grpc.py [GrpcTest.test_stats_and_nodes ...]
"""

import _thread
import faulthandler
import importlib.util
import os
import sys
import threading
import unittest

SKIPPED = 77


def interrupt_after(seconds):
    """Ends a hopeless run while its cleanup still works: whoever kills us would leave daemons behind."""
    def interrupt():
        print("still running after %d s; every thread:" % seconds, file=sys.stderr, flush=True)
        faulthandler.dump_traceback()
        _thread.interrupt_main()

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()


def main():
    path = os.path.abspath(sys.argv[1])
    if "OM_TEST_SECONDS" in os.environ:
        interrupt_after(int(os.environ["OM_TEST_SECONDS"]))
    sys.path.insert(0, os.path.dirname(path))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    loader = unittest.defaultTestLoader
    wanted = sys.argv[2:]
    suite = loader.loadTestsFromNames(wanted, module) if wanted else loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(verbosity=2, tb_locals=False).run(suite)
    if not result.wasSuccessful():
        return 1
    # A class that is skipped as a whole counts as one skip and runs no test.
    if result.skipped and result.testsRun <= len(result.skipped):
        for _, reason in result.skipped:
            print("skipped:", reason, flush=True)
        return SKIPPED
    if result.testsRun == 0:
        print("no test in", path, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

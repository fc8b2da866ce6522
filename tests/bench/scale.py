#!/usr/bin/python3
"""omd with very many services on one node: from its start to the first complete status, memory, and
CPU while no schedule is due. Usage: OM_BIN_DIR=build/release/bin scale.py [<services> ...]"""

import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
import harness  # noqa: E402

IDLE_SECONDS = 30
LIMIT_SECONDS = 900
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of the process itself, its children not among it."""
    with open("/proc/%d/stat" % pid, encoding="ascii") as stream:
        fields = stream.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def evaluated(omd):
    """How many services have a state."""
    services = omd.status()["monitor"]["services"]
    return sum(1 for name, service in services.items()
               if name.startswith("svc") and service.get("avail") in ("up", "down", "n/a", "warn"))


def measure(count):
    omd = harness.Omd(node_conf={"crm": {"timeout": "10m"}})
    try:
        for i in range(count):
            omd.write_service("svc%05d" % i, {
                "DEFAULT": {"status_schedule": "@0"},
                "fs#1": {"type": "flag"}})
        start = time.monotonic()
        omd.start()
        ready = time.monotonic() - start
        while True:
            known = evaluated(omd)
            passed = time.monotonic() - start
            if known == count:
                break
            if passed > LIMIT_SECONDS:
                raise RuntimeError("%d of %d services have a state after %d s"
                                   % (known, count, passed))
            time.sleep(1)
        time.sleep(30)  # What follows the start dies down.
        before, begin = cpu_seconds(omd.pid), time.monotonic()
        time.sleep(IDLE_SECONDS)
        percent = 100 * (cpu_seconds(omd.pid) - before) / (time.monotonic() - begin)
        print("%6d services: serving after %.1f s, all states after %.1f s, %.0f MB, %.2f %% of a "
              "core while nothing is due" % (count, ready, passed, omd.memory_bytes() / 1e6, percent),
              flush=True)
    finally:
        omd.stop()
        shutil.rmtree(omd.root, ignore_errors=True)


def main():
    for count in [int(text) for text in sys.argv[1:]] or [1000, 10000]:
        measure(count)


if __name__ == "__main__":
    main()

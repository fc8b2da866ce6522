#!/usr/bin/python3
"""Instructions that one instance's change costs (decision, snapshot, delta), at 1 000 and at 10 000
services, counted by callgrind. Usage: change_cost.py <folder of programs> [<changes>]"""

import re
import subprocess
import sys
import tempfile

WARM_UP = 10  # Changes that the program makes before counting begins.


def instructions(program, objects, changes):
    with tempfile.TemporaryDirectory() as folder:
        # Debian 12's valgrind gives up on the debugging information of clang 14.
        subprocess.run(["strip", "-o", folder + "/program", program], check=True)
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=%s/out" % folder,
             folder + "/program", str(objects), str(changes)], capture_output=True, text=True, check=True)
    print(run.stdout.strip(), flush=True)
    return int(re.search(r"Collected\s*:\s*(\d+)", run.stderr).group(1))


def main():
    program = sys.argv[1] + "/omd-change-cost"
    changes = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    costs = {}
    for objects in (1000, 10000):
        costs[objects] = instructions(program, objects, WARM_UP + changes) / changes
        print("%d services: %.0f instructions a change" % (objects, costs[objects]), flush=True)
    print("ratio: %.2f (goal: 2 at most)" % (costs[10000] / costs[1000]))


if __name__ == "__main__":
    main()

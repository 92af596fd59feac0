"""measure.py COMMAND…: runs a command, its output thrown away, and prints how long it took and its peak memory.

Linux counts the memory of the process that starts another as that other's own until it runs its program. Here that is
this small one, not the one with the tests, so that the peak of a command is its own down to some 10 MB.
"""

import json
import resource
import subprocess
import sys
import time

start = time.perf_counter_ns()
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
wall = time.perf_counter_ns() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump({"wall_ns": wall, "peak_bytes": used.ru_maxrss * 1024, "code": done.returncode}, sys.stdout)

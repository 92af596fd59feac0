"""loads.py FILE: reads a compressed trace with Python's own means, and nothing more."""

import gzip
import json
import sys

with gzip.open(sys.argv[1], "rb") as f:
    print(len(json.loads(f.read())["traceEvents"]))

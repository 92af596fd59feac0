"""breakdown.py FILE [COLLECTIVES]: HolisticTraceAnalysis' temporal and kernel breakdown of a trace, as JSON.

With COLLECTIVES, a regular expression of kernel names that HTA does not know for collectives, the same is given a
second time, as it is with them among HTA's own, and without the rows that are waits of the host and no work.
HTA wants a folder with a file a rank; FILE is the only one, whatever rank it says.
"""
import json
import logging
import os
import re
import sys
import tempfile
import warnings

os.environ["HTA_DISABLE_NS_ROUNDING"] = "1"  # times as they stand in the file
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

from hta.trace_analysis import TraceAnalysis  # noqa: E402
from hta.utils import utils  # noqa: E402

WORK = {"kernel", "gpu_memcpy", "gpu_memset"}


def breakdown(analysis):
    row = analysis.get_temporal_breakdown(visualize=False).iloc[0]
    types, _ = analysis.get_gpu_kernel_breakdown(
        visualize=False, num_kernels=10**6, duration_ratio=1.0, include_memory_kernels=True
    )
    by_type = {r["kernel_type"]: float(r["sum"]) for _, r in types.iterrows()}
    frame = next(iter(analysis.t.traces.values()))
    work = frame[frame["stream"].ne(-1)]
    names = analysis.t.symbol_table.get_sym_table()
    kernels = {}
    for name, group in work.groupby("name"):
        k = kernels.setdefault(names[name], {"count": 0, "us": 0.0})
        k["count"] += int(len(group))
        k["us"] += float(group["dur"].sum())
    return {
        "span": float(row["kernel_time(us)"]),
        "idle": float(row["idle_time(us)"]),
        "compute": float(row["compute_time(us)"]),
        "communication": sum(v for k, v in by_type.items() if "COMMUNICATION" in k),
        "exposed": sum(v for k, v in by_type.items() if "COMMUNICATION" in k and "COMPUTATION" not in k),
        "copies": sum(v for k, v in by_type.items() if "MEMORY" in k),
        "kernels": kernels,
    }


path = os.path.abspath(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    analysis = TraceAnalysis(trace_files={0: path}, trace_dir=folder)
    result = {"plain": breakdown(analysis)}
    if len(sys.argv) > 2:
        known = utils.NCCL_KERNEL_RE.pattern
        utils.NCCL_KERNEL_RE = re.compile(f"({known})|(.*({sys.argv[2]}))")
        names = analysis.t.symbol_table.get_sym_table()
        for rank, frame in analysis.t.traces.items():
            waits = frame["stream"].ne(-1) & ~frame["cat"].map(lambda n: names[n] in WORK)
            analysis.t.traces[rank] = frame[~waits]
        result["explained"] = breakdown(analysis)
print(json.dumps(result))

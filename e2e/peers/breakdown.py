"""breakdown.py FILE: the temporal and the kernel breakdown of HolisticTraceAnalysis, as JSON.

All as its documentation has it. With --parts also what the figures are made of, so that a difference can be put down
to a rule of HTA and not to chance: the same breakdowns before it leaves out what lies outside of the profiler steps,
those of device work alone, and of that with all collectives among HTA's own, each with the events that are in it.
"""

import json
import logging
import os
import re
import sys
import tempfile

# Times as the file has them: HTA rounds to whole microseconds by default.
os.environ.setdefault("HTA_DISABLE_NS_ROUNDING", "1")
logging.disable(logging.CRITICAL)

import numpy as np  # noqa: E402
from hta.analyzers.breakdown_analysis import BreakdownAnalysis  # noqa: E402
from hta.common.trace import Trace  # noqa: E402
from hta.trace_analysis import TraceAnalysis  # noqa: E402
from hta.utils import utils  # noqa: E402


DEVICE_WORK = {"kernel", "gpu_memcpy", "gpu_memset"}
# Kernels that profjob takes for collectives and HTA for computation: it knows those whose names begin with "nccl".
UNKNOWN_COLLECTIVES = "multimem_all_reduce|cross_device_reduce"
KINDS = ["COMPUTATION", "COMMUNICATION", "MEMORY"]


def types_to_the_ns(t):
    """HTA's own time by type of kernel, but from times in ns: it cuts each piece down to whole units."""
    df, symbols = next(iter(t.traces.values())), t.symbol_table.get_sym_table()
    work = df[df["stream"].ne(-1)].copy()
    work["kernel_type"] = [utils.get_kernel_type(symbols[n]) for n in work["name"]]
    work["ts"] *= 1000
    work["dur"] *= 1000
    rows = BreakdownAnalysis._get_gpu_kernel_type_time(work, KINDS)
    return {r["kernel_type"]: float(r["sum"]) / 1000 for _, r in rows.iterrows()}


def breakdowns(t):
    """The two breakdowns, all memory kernels included; None where HTA has no device work to break down."""
    rank = next(iter(t.traces))
    if not t.traces[rank]["stream"].ne(-1).any():
        return None
    times = BreakdownAnalysis.get_temporal_breakdown(t, visualize=False).iloc[0]
    types, _ = BreakdownAnalysis.get_gpu_kernel_breakdown(
        t, visualize=False, include_memory_kernels=True
    )
    return {
        "idle_us": float(times["idle_time(us)"]),
        "compute_us": float(times["compute_time(us)"]),
        "non_compute_us": float(times["non_compute_time(us)"]),
        "span_us": float(times["kernel_time(us)"]),
        "types_us": {r["kernel_type"]: float(r["sum"]) for _, r in types.iterrows()},
    }


def device_events(t):
    """What HTA takes for device work: every event with a stream, by category and name."""
    rank = next(iter(t.traces))
    df = t.traces[rank]
    symbols = t.symbol_table.get_sym_table()
    rows = {}
    for cat, name, dur in df.loc[df["stream"].ne(-1), ["cat", "name", "dur"]].itertuples(index=False):
        row = rows.setdefault((symbols[cat], symbols[name]), [0, 0.0])
        row[0] += 1
        row[1] += dur
    return [
        {"cat": c, "name": n, "type": utils.get_kernel_type(n), "count": k, "us": round(float(d), 3)}
        for (c, n), (k, d) in sorted(rows.items())
    ]


def whole(path):
    """What a user gets, with the defaults."""
    return breakdowns(TraceAnalysis(trace_dir=path).t)


def in_parts(path):
    """HTA's figures as a user gets them and before it leaves anything out, and those of device work alone."""
    t = Trace(trace_dir=path)
    t.parse_traces(use_multiprocessing=False)
    (rank,) = t.traces
    df = t.traces[rank]
    if "stream" not in df.columns:
        return {}
    # Aligned first: sums of times since the epoch pass the range of its integers.
    t._align_all_ranks()
    everything = t.traces[rank]
    out = {
        # How far apart two neighbouring times are: it keeps them as floating-point numbers of µs.
        "grain_us": float(np.spacing(df["end"].max())) if df["ts"].dtype.kind == "f" else 0.0,
        "all": stage(t),
    }
    symbols = t.symbol_table.get_sym_table()
    host = everything["stream"].ne(-1) & ~everything["cat"].map(lambda c: symbols[c] in DEVICE_WORK)
    t.traces[rank] = everything[~host]
    out["work"] = stage(t)
    known = utils.NCCL_KERNEL_RE
    utils.NCCL_KERNEL_RE = re.compile(f"({known.pattern})|.*({UNKNOWN_COLLECTIVES})")
    out["device"] = stage(t)
    utils.NCCL_KERNEL_RE = known
    t.traces[rank] = everything
    t._filter_irrelevant_gpu_kernels()
    return out | {"user": stage(t)}


def stage(t):
    breakdown = breakdowns(t)
    if breakdown:
        breakdown["fine_types_us"] = types_to_the_ns(t)
    return {"breakdown": breakdown, "events": device_events(t)}


def main():
    parts = "--parts" in sys.argv
    (path,) = [a for a in sys.argv[1:] if not a.startswith("--")]
    # HTA is made for a directory with one file for each rank.
    with tempfile.TemporaryDirectory() as d:
        os.symlink(os.path.abspath(path), os.path.join(d, os.path.basename(path)))
        json.dump(in_parts(d) if parts else whole(d), sys.stdout, indent=1)


main()

"""tracelens.py MODULE FILE COLLECTIVES: what TraceLens' GPUEventAnalyser says of a trace, as JSON.

MODULE is TraceLens/TreePerf/gpu_event_analyser.py of a checkout of AMD-AGI/TraceLens, which no package registry has.
"explained" is the same with fills of memory among the copies and COLLECTIVES, a regular expression of kernel names,
among the collectives.
"""
import gzip
import importlib.util
import json
import re
import sys

spec = importlib.util.spec_from_file_location("gpu_event_analyser", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

with gzip.open(sys.argv[2]) as f:
    loaded = json.load(f)
events = loaded["traceEvents"] if isinstance(loaded, dict) else loaded
for e in events:
    if "dur" in e:
        e["ts"], e["dur"] = float(e["ts"]), float(e["dur"])
collectives = re.compile(sys.argv[3])


class Explained(module.GPUEventAnalyser):
    def get_gpu_event_lists(self):
        lists = super().get_gpu_event_lists()
        compute = lists["computation"]
        lists["computation"] = []
        for e in compute:
            if e["cat"] == "gpu_memset":
                lists["memcpy"].append(e)
            elif collectives.search(e["name"]):
                lists["communication"].append(e)
            else:
                lists["computation"].append(e)
        return lists


def metrics(analyser):
    m = analyser(events).compute_metrics()
    return {
        "span": m["total_time"],
        "idle": m["idle_time"],
        "compute": m["computation_time"],
        "communication": m["total_comm_time"],
        "exposed": m["exposed_comm_time"],
        "copies": m["total_memcpy_time"],
    }


print(json.dumps({"plain": metrics(module.GPUEventAnalyser), "explained": metrics(Explained)}))

from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator


class NoSharedMemory(CpuCommunicator):
    """The collectives of the CPU without the shared memory, which nodes do not share: Gloo instead.

    Groups named tp and pp get shared memory: 0.11 asks for nothing else, 0.32 also compares names that all ranks give alike.
    """

    def __init__(self, cpu_group, device=None, device_group=None, unique_name="", *args, **kwargs):
        shared = unique_name.startswith(("tp", "pp"))
        super().__init__(cpu_group, device, device_group, "nodes-" + unique_name if shared else unique_name, *args, **kwargs)
        self.unique_name = unique_name

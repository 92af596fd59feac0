from vllm.platforms.cpu import CpuPlatform


class RayCPUPlatform(CpuPlatform):
    ray_device_key = "GPU"

    @classmethod
    def device_control_id_to_physical_device_id(cls, number):
        return int(number)

    @classmethod
    def get_device_communicator_cls(cls):
        return "raycpu_communicator.NoSharedMemory"

    @classmethod
    def check_and_update_config(cls, vllm_config):
        parallel = vllm_config.parallel_config
        asked = parallel.distributed_executor_backend
        super().check_and_update_config(vllm_config)
        parallel.distributed_executor_backend = asked  # 0.11 takes "mp" instead, with a warning

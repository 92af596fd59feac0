"""A platform for vLLM: the CPU, spread over nodes by Ray.

Stock vLLM says "current platform cpu does not support ray". Each node of the cluster pretends to have one GPU
(ray start --num-gpus=1), which stands for a place for one worker. Tried with 0.11.0 and 0.32.0.
"""


def register():
    return "raycpu_platform.RayCPUPlatform"

# profjob starts the vLLM server itself, profiles it and ends it again: the whole
# experiment is in this file, and no server has to be set up by hand.
#
#   profjob plan examples/launch-vllm.hcl --offline
#   profjob run  examples/launch-vllm.hcl --var model=Qwen/Qwen3-8B --var port=8123

variable "model" {
  type        = string
  default     = "Qwen/Qwen3-0.6B"
  description = "Model to serve: a name on the hub, or a directory"
}

variable "port" {
  type        = number
  default     = 8000
  description = "Port that the server listens at; it must be free"
}

variable "trace_dir" {
  type        = string
  default     = "/var/tmp/profiles"
  description = "Directory where the server writes its traces; made if need be"
}

variable "concurrency" {
  type        = number
  default     = 16
  description = "Requests that run at once: the size of the batch"
}

variable "output_tokens" {
  type        = number
  default     = 512
  description = "Tokens of an answer"
}

variable "hf_token" {
  type        = string
  default     = ""
  sensitive   = true # shown in no plan, log or manifest; give it as PROFJOB_VAR_hf_token
  description = "Token for the hub, where the model needs one"
}

target "vllm" "server" {
  endpoints = ["http://127.0.0.1:${var.port}"]
  trace_dir = var.trace_dir

  launch {
    # Just the command as you would type it. What the profiler needs, environment
    # variables up to vLLM 0.12 and --profiler-config from 0.13 on, is added for the
    # version that is installed; `profjob env` shows it.
    command = [
      "vllm", "serve", var.model,
      "--host", "127.0.0.1",
      "--port", tostring(var.port),
      "--max-model-len", "4096",
    ]
    env = {
      HF_TOKEN = var.hf_token
    }
    # Downloading and loading a model, compiling, and capturing graphs all count.
    ready_timeout = "20m"
  }
}

load "steady" {
  concurrency   = var.concurrency
  input_tokens  = 256
  output_tokens = var.output_tokens
}

job "decode" {
  targets = [target.vllm.server]
  load    = load.steady

  warmup {
    until {
      running = var.concurrency # the batch is full …
      stable  = "1s"
    }
    requests = var.concurrency # … and each of its places has been used once
    timeout  = "5m"
  }

  window {
    steps {
      count = 10
    }
  }

  # Fixed when a server is launched: with a launch block, each job simply gets
  # what it asks for. On a server that runs already, it must have been set there.
  record {
    shapes = true
    stack  = true
  }
}

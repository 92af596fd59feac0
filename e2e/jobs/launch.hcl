# profjob starts the server itself, with what its version needs to record all options.

variable "command" {
  type        = list(string)
  description = "The server's command line, without anything about profiling"
}

variable "env" {
  type    = map(string)
  default = {}
}

variable "endpoint" {
  type = string
}

variable "trace_dir" {
  type = string
}

target "vllm" "server" {
  endpoints = [var.endpoint]
  trace_dir = var.trace_dir

  launch {
    command       = var.command
    env           = var.env
    ready_timeout = "5m"
  }
}

load "steady" {
  concurrency   = 4
  input_tokens  = 32
  output_tokens = 64
}

job "launched" {
  targets = [target.vllm.server]
  load    = load.steady

  warmup {
    requests = 2
    timeout  = "3m"
  }

  window {
    steps {
      count = 4
    }
    timeout = "3m"
  }

  record {
    shapes = true
    memory = true
    stack  = true
    flops  = true
  }
}

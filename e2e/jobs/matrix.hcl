# One server, several windows and record options: the variables say which.

variable "endpoint" {
  type = string
}

variable "trace_dir" {
  type = string
}

variable "record" {
  type    = set(string)
  default = []
}

variable "steps" {
  type    = number
  default = 5
}

variable "delay" {
  type    = number
  default = 0
}

variable "threshold" {
  type    = number
  default = 1
}

variable "phase" {
  type    = string
  default = "any"
}

variable "ranks" {
  type    = number
  default = 1
}

target "vllm" "server" {
  endpoints = [var.endpoint]
  trace_dir = var.trace_dir
}

load "steady" {
  concurrency = 4
  input_tokens = {
    min = 16
    max = 48
  }
  output_tokens = 128
}

load "thin" {
  rate          = 2
  input_tokens  = 16
  output_tokens = 3
}

job "steps" {
  targets = [target.vllm.server]
  load    = load.steady

  warmup {
    until {
      running = 4
    }
    requests = 2
    timeout  = "3m"
  }

  window {
    steps {
      count = var.steps
      delay = var.delay
    }
    timeout = "3m"
  }

  record {
    shapes = contains(var.record, "shapes")
    memory = contains(var.record, "memory")
    stack  = contains(var.record, "stack")
    flops  = contains(var.record, "flops")
  }

  collect {
    expect {
      ranks = var.ranks
    }
  }
}

# Requests so far apart that an idle pass comes after each.
job "thin" {
  targets = [target.vllm.server]
  load    = load.thin

  window {
    steps {
      count = var.steps
    }
    timeout = "3m"
  }
}

job "manual" {
  targets = [target.vllm.server]
  load    = load.steady

  warmup {
    requests = 2
    timeout  = "3m"
  }

  window {
    manual {
      duration = "1s"
    }
  }
}

# From the first engine step with so many tokens on.
job "tokens" {
  targets = [target.vllm.server]
  load    = load.steady

  warmup {
    requests = 2
    timeout  = "3m"
  }

  window {
    tokens {
      threshold = var.threshold
      steps     = var.steps
      phase     = var.phase
    }
    timeout = "3m"
  }

  record {
    shapes = contains(var.record, "shapes")
    memory = contains(var.record, "memory")
    stack  = contains(var.record, "stack")
    flops  = contains(var.record, "flops")
  }
}

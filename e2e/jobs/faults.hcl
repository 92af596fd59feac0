# Runs of which something misbehaves: the server, or a proxy before it.

variable "endpoint" {
  type = string
}

variable "trace_dir" {
  type = string
}

variable "secret" {
  type      = string
  sensitive = true
}

variable "attempts" {
  type    = number
  default = 2
}

variable "command" {
  type    = list(string)
  default = ["false"]
}

target "vllm" "server" {
  endpoints = [var.endpoint]
  trace_dir = var.trace_dir
}

target "vllm" "gated" {
  endpoints = [var.endpoint]

  gate {
    secret = var.secret
  }
}

target "vllm" "own" {
  endpoints = [var.endpoint]
  trace_dir = var.trace_dir
  version   = "0.32.0"

  launch {
    command       = var.command
    ready_timeout = "20s"
  }
}

load "steady" {
  concurrency   = 2
  input_tokens  = 16
  output_tokens = 32
}

job "steps" {
  targets = [target.vllm.server]
  load    = load.steady

  window {
    steps {
      count = 4
    }
    timeout  = "20s"
    attempts = var.attempts
  }

  retry {
    attempts = 2
    initial  = "50ms"
  }
}

# Plan steps that ask the server for something, all of them.
job "warm" {
  targets = [target.vllm.server]
  load    = load.steady

  warmup {
    until {
      running = 2
    }
    timeout = "10s"
  }

  window {
    steps {
      count = 4
    }
    timeout  = "20s"
    attempts = var.attempts
  }

  retry {
    attempts = 5
    initial  = "300ms"
  }
}

job "twice" {
  targets = [target.vllm.server]
  load    = load.steady
  repeat  = 2

  window {
    steps {
      count = 4
    }
    timeout  = "20s"
    attempts = 1
  }
}

# Nothing but what others ask of the server.
job "quiet" {
  targets = [target.vllm.server]

  window {
    steps {
      count = 4
    }
    timeout  = "4s"
    attempts = 1
  }
}

job "manual" {
  targets = [target.vllm.server]
  load    = load.steady

  window {
    manual {
      duration = "1s"
    }
    attempts = 1
  }
}

job "gated" {
  targets = [target.vllm.gated]
  load    = load.steady

  window {
    tokens {
      threshold = 2
      phase     = "decode"
      steps     = 4
    }
    timeout  = "20s"
    attempts = var.attempts
  }

  retry {
    attempts = 5
    initial  = "300ms"
  }
}

job "launched" {
  targets = [target.vllm.own]
  load    = load.steady

  window {
    steps {
      count = 4
    }
    timeout  = "20s"
    attempts = var.attempts
  }

  retry {
    attempts = 2
    initial  = "50ms"
  }
}

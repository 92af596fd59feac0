# Live traffic, and no load of our own: a job without `load` records whatever the
# server does. Two ways to say how long.
#
#   profjob run examples/manual.hcl --job for-a-while
#   profjob run examples/manual.hcl --job until-stopped       ends with Enter, Ctrl-C, or
#   profjob stop examples/manual.hcl                          from another terminal

variable "endpoints" {
  type        = list(string)
  default     = ["http://127.0.0.1:8000"]
  description = "Every API server of the deployment: each is started and stopped by itself"
}

variable "trace_dir" {
  type        = string
  default     = "/var/tmp/profiles"
  description = "Directory where the servers write their traces, as seen from here"
}

variable "duration" {
  type        = string
  default     = "2s"
  description = "How long for-a-while records"
}

target "vllm" "production" {
  endpoints = var.endpoints
  trace_dir = var.trace_dir
}

job "for-a-while" {
  targets = [target.vllm.production]

  # Wait until somebody uses the server: a window without a single engine step is
  # not what was asked for, and ends with exit code 5.
  warmup {
    until {
      running = 1
    }
    timeout = "10m"
  }

  window {
    manual {
      duration = var.duration
    }
  }

  # A trace grows with every engine step. These end the window before it does harm.
  limits {
    min_free_disk  = "2GiB"
    max_trace_size = "4GiB"
  }
}

job "until-stopped" {
  targets = [target.vllm.production]

  window {
    manual {
      until = "stopped"
    }
    timeout = "10m" # … but no longer than this
  }

  limits {
    min_free_disk  = "2GiB"
    max_trace_size = "4GiB"
  }
}

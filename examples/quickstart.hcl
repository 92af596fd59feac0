# The quickstart: nothing to install, no server to start. The run starts the
# embedded engine, a small real transformer on the CPU, and profiles it.
#
#   profjob run examples/quickstart.hcl

variable "steps" {
  type        = number
  default     = 5
  description = "Engine steps to record"
}

target "embedded" "engine" {}

load "steady" {
  concurrency   = 4
  input_tokens  = 64
  output_tokens = 256
}

job "quickstart" {
  targets = [target.embedded.engine]
  load    = load.steady

  warmup {
    until {
      running = 4
      stable  = "500ms"
    }
    timeout = "30s"
  }

  window {
    steps {
      count = var.steps
    }
  }

  record {
    shapes = true
  }
}

# A matrix of jobs for every night: one job a batch size, each repeated, packed
# and kept for a while. Run from cron or CI; the exit code is that of the worst job.
#
#   profjob run examples/nightly-matrix.hcl --var endpoint=http://10.0.0.7:8000 -o json > runs.json
#   profjob run examples/nightly-matrix.hcl --job 'decode["b064"]'      one of the matrix
#   profjob runs examples/nightly-matrix.hcl                            what there is so far

variable "endpoint" {
  type        = string
  default     = "http://127.0.0.1:8000"
  description = "API server to profile"
}

variable "trace_dir" {
  type        = string
  default     = "/var/tmp/profiles"
  description = "Directory where the server writes its traces, as seen from here"
}

variable "rounds" {
  type        = number
  default     = 3
  description = "Windows a job; several tell noise from change"
}

target "vllm" "server" {
  endpoints = [var.endpoint]
  trace_dir = var.trace_dir
}

# One load a batch size. The same seed makes the same prompts every night. Requests
# of one length start and end together, so that a batch stays at its size for as
# long as an answer takes: keep that well above what `stable` asks for.
load "b001" {
  concurrency   = 1
  input_tokens  = 256
  output_tokens = 512
  seed          = 1
}

load "b008" {
  concurrency   = 8
  input_tokens  = 256
  output_tokens = 512
  seed          = 1
}

load "b064" {
  concurrency   = 64
  input_tokens  = 256
  output_tokens = 512
  seed          = 1
}

# for_each makes one job of each key: decode["b001"], decode["b008"], decode["b064"],
# in the order of the keys, which is why the numbers have leading zeros.
job "decode" {
  for_each = {
    b001 = load.b001
    b008 = load.b008
    b064 = load.b064
  }
  targets = [target.vllm.server]
  load    = each.value
  repeat  = var.rounds

  warmup {
    until {
      running = each.value.concurrency # what a load says can be read of it
      stable  = "1s"
    }
    timeout = "5m"
  }

  window {
    steps {
      count = 5
      delay = 10 # let the first steps after the start pass: they pay for the profiler's own start
    }
    attempts = 3
  }

  # Shapes tell what each kernel worked on; stacks are left off, since they slow a
  # server down so much that the times would say little.
  record {
    shapes = true
  }

  # A night's runs must not fill a disk.
  limits {
    min_free_disk  = "5GiB"
    max_trace_size = "10GiB"
  }

  collect {
    keep_original = false # only the window, not what was recorded around it
    delete_remote = true  # the server's own copies go once ours are verified
  }

  archive {
    path   = "./nightly"
    format = "tar.zst"

    keep { # the newest 30 runs of each job, and the last of each of 14 days
      last  = 30
      daily = 14
    }
  }
}

package main

import (
	"time"

	"profjob/internal/access"
	"profjob/runner"
	"profjob/spec"
	"profjob/steps"
)

// accessOf gives what the servers of a job's target are shown.
func accessOf(job *spec.Job, t *spec.Target) (access.Access, error) {
	return steps.AccessOf(runner.PlanTarget(t), job.Dir, func(s *spec.Secret) (string, error) {
		if s == nil {
			return "", nil
		}
		return secretOf(job, *s), nil
	})
}

func secretOf(job *spec.Job, s spec.Secret) string {
	if s.Ref != "" {
		return job.Secrets[s.Ref]
	}
	return s.Value
}

// checkTLS reads the files of the jobs' tls blocks: what is wrong with them is
// wrong with the job, and known before anything of a run exists.
func checkTLS(jobs []*spec.Job) error {
	for _, job := range jobs {
		for _, t := range job.Targets {
			shown, err := accessOf(job, t)
			if err == nil {
				_, err = shown.TLS.Config()
			}
			if err != nil {
				return usage("job %s, target %s: %w", job.Address, t.Name, err)
			}
		}
	}
	return nil
}

// expired tells of certificates of a target that are not valid now.
func expired(job *spec.Job, t *spec.Target) []string {
	shown, err := accessOf(job, t)
	if err != nil {
		return nil // it has been reported
	}
	return shown.TLS.Expired(time.Now())
}

package steps

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"profjob/internal/archive"
)

// askTimeout bounds a question whose answer is not worth more waiting.
const askTimeout = 15 * time.Second

// keepMetrics writes every endpoint's metrics as they are now into the attempt's
// folder. A server that gives none costs nothing but their file.
func (r *Run) keepMetrics(ctx context.Context, servers []server, moment string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	errs := make([]error, len(servers))
	raw := make([][]byte, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			errs[i] = safely("metrics of "+s.Endpoint, func() error {
				m, err := s.Client.Metrics(ctx)
				raw[i] = m.Raw
				return err
			})
		})
	}
	wg.Wait()
	for i, s := range servers {
		if defect := (*Failure)(nil); errors.As(errs[i], &defect) {
			return errs[i]
		}
		if errs[i] != nil {
			if moment == "before" {
				if err := r.warn("%s: no metrics are kept: %v", s.Target.Name, errs[i]); err != nil {
					return err
				}
			}
			continue
		}
		name := fmt.Sprintf("%s/metrics/%s/%s-%s.prom", r.attemptDir(), s.Target.Name, archive.EndpointSlug(s.Endpoint), moment)
		if err := r.Dir.WriteFile(name, raw[i]); err != nil {
			return incomplete("keep metrics: %w", err)
		}
	}
	return nil
}

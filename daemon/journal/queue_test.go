// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"driverd/daemon/journal"
)

// slow is a journal that takes a second for each event.
type slow struct{ events []string }

func (s *slow) Write(text []byte) (int, error) { return s.WriteLevel(zerolog.NoLevel, text) }

func (s *slow) WriteLevel(level zerolog.Level, text []byte) (int, error) {
	time.Sleep(time.Second)
	s.events = append(s.events, fmt.Sprint(level, " ", string(text)))
	return len(text), nil
}

func TestQueueNeitherBlocksNorLosesNorReorders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &slow{}
		q := journal.NewQueue(to)
		log := zerolog.New(q)
		began := time.Now()
		var want []string
		for n := range 100 {
			log.Info().Msg(fmt.Sprint(n))
			want = append(want, fmt.Sprintf("info {\"level\":\"info\",\"message\":\"%d\"}\n", n))
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("who logs waits %s", took)
		}
		q.Close()
		if !slices.Equal(to.events, want) {
			t.Errorf("written: %q", to.events)
		}
	})
}

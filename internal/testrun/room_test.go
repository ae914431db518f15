// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Two runs have the room of one machine.
func TestRoomIsShared(t *testing.T) { synctest.Test(t, roomIsShared) }

func roomIsShared(t *testing.T) {
	one := room{t.TempDir(), 3}
	other := one
	leaveTwo, err := one.take(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	leaveThird, err := other.take(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}

	full, cancel := context.WithTimeout(t.Context(), 2*askAgain)
	defer cancel()
	if _, err := other.take(full, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a fourth place: %v", err)
	}

	// Both ask for all, which nobody has who has a part.
	all := make(chan error)
	for _, r := range []room{one, other} {
		go func() {
			leave, err := r.take(t.Context(), 4) // as many as there are
			if err == nil {
				leave()
			}
			all <- err
		}()
	}
	leaveTwo()
	leaveThird()
	for range 2 {
		select {
		case err := <-all:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("who asks for all places waits for ever")
		}
	}
}

// Whoever waits is given the next place before the run that has the others.
func TestRoomIsGivenInTurn(t *testing.T) { synctest.Test(t, roomIsGivenInTurn) }

func roomIsGivenInTurn(t *testing.T) {
	r := room{t.TempDir(), 1}
	leave, err := r.take(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	turns := make(chan string, 6)
	for _, run := range []string{"one", "other"} {
		go func() {
			for range 3 {
				leave, err := r.take(t.Context(), 1)
				turns <- run
				if err != nil {
					t.Error(err)
					continue
				}
				leave()
			}
		}()
	}
	leave()
	got := map[string]int{}
	for range 4 {
		got[<-turns]++
	}
	if got["one"] != 2 {
		t.Errorf("of four places, the runs have had %v", got)
	}
	<-turns
	<-turns
}

func TestRoomThatCannotBe(t *testing.T) {
	if _, err := (room{"/dev/null/guests", 3}).take(t.Context(), 1); err == nil {
		t.Error("places below a file")
	}
}

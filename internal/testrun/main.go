// SPDX-License-Identifier: Apache-2.0

// Command testrun runs driverd's tests in the root of the module, with three guests
// at a time on two processors, two runs beside each other together, and shows them to a person: each test of the top level as
// it ends, all that a failed one said, the ten slowest parts, and at the end a line
// "N passed, N failed" that counts subtests too. It exits with 1 if anything failed, or
// nothing was tested although there was time.
//
//	testrun [-within DURATION] [-only TEST,...] [-soak DURATION] [-guests KIND,...] TIER...
//
// A TIER is test, rest, long or guests; parts.go says what is in each. With -within, a
// part that would not end in time is left out, and named. With -only there are but the parts
// with these tests. With -guests, of the tier guests there are but the tests for these kinds of guest.
// At the end of that tier is a table of all guests, and what has become of the tests for each.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	within := flag.Duration("within", 0, "leave out what would take longer: of a negative time, everything")
	only := flag.String("only", "", "run the parts with these tests alone, parted by commas")
	soak := flag.Duration("soak", 30*time.Minute, "how long TestSoak goes on")
	guests := flag.String("guests", "", "of the tier guests, run the tests for these kinds of guest alone, parted by commas")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tests, err := labTests()
	if err != nil {
		fail(err)
	}
	all, err := complete(parts(*soak), tests)
	if err != nil {
		fail(err)
	}
	chosen, others, err := choose(all, flag.Args(), words(*guests), words(*only))
	if err != nil {
		fail(err)
	}
	if len(chosen) == 0 {
		fmt.Fprintln(os.Stderr, "usage: testrun [-within DURATION] test|rest|long|guests...")
		os.Exit(2)
	}
	r := newRun()
	if *within != 0 {
		r.until = time.Now().Add(*within)
	}
	if err := r.compile(ctx, chosen); err != nil {
		fail(err)
	}
	err = r.all(ctx, chosen)
	if ctx.Err() != nil {
		fail(fmt.Errorf("the tests were interrupted: %w", context.Cause(ctx)))
	}
	if err != nil {
		fail(err)
	}
	if slices.Contains(flag.Args(), string(manyGuests)) {
		if err := r.guestTable(); err != nil {
			fail(err)
		}
	}
	r.closing(others)
	if r.failed > 0 || r.passed == 0 && len(r.leftOut) == 0 {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "testrun:", err)
	os.Exit(1)
}

// words are parted by commas.
func words(list string) []string {
	return strings.FieldsFunc(list, func(c rune) bool { return c == ',' })
}

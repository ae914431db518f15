// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// sinceForms are the forms of a moment that a person types, in the own zone but for the
// first.
var sinceForms = []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly}

// parseSince reads a moment: today, yesterday, a date with or without a time, or how long
// ago it was, 90m, 12h or 7d.
func parseSince(text string, now time.Time) (time.Time, error) {
	year, month, day := now.Date()
	switch text {
	case "today":
		return time.Date(year, month, day, 0, 0, 0, 0, now.Location()), nil
	case "yesterday":
		return time.Date(year, month, day-1, 0, 0, 0, 0, now.Location()), nil
	}
	if count, ok := strings.CutSuffix(text, "d"); ok {
		if days, err := strconv.ParseUint(count, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(days)), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, form := range sinceForms {
		if when, err := time.ParseInLocation(form, text, now.Location()); err == nil {
			return when, nil
		}
	}
	return time.Time{}, fmt.Errorf("cannot understand %.80q: want today, yesterday, a date (2006-01-31), "+
		"a date and time (2006-01-31 15:04), or how long ago (90m, 12h, 7d)", text)
}

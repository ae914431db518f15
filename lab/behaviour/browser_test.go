// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"driverd/lab"
)

// browser is a person at a browser that shows Cockpit, and in it our page.
type browser struct {
	*testing.T
	steps   io.Writer
	answers *bufio.Scanner
	dir     string // of its pictures
}

// step is what the person does; lab/behaviour/browser.mjs says what each means.
type step struct {
	Do      string `json:"do"`
	Top     bool   `json:"top,omitempty"` // in Cockpit, not in our page
	Row     string `json:"row,omitempty"`
	Role    string `json:"role,omitempty"`
	Name    string `json:"name,omitempty"`
	Text    string `json:"text,omitempty"`
	CSS     string `json:"css,omitempty"`
	Value   string `json:"value,omitempty"`
	URL     string `json:"url,omitempty"`
	File    string `json:"file,omitempty"`
	Dark    bool   `json:"dark,omitempty"`
	Width   int    `json:"width,omitempty"`
	Height  int    `json:"height,omitempty"`
	Timeout int64  `json:"timeout,omitempty"` // of each step that follows
}

// browse starts a browser that ends with the test.
func browse(t *testing.T) browser {
	t.Helper()
	page, err := lab.Page(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "browser.mjs", filepath.Join(page, "node_modules"), "cockpit1:localhost/driverd")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // the browser ends with it
	steps, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start Node.js: %v", err)
	}
	t.Cleanup(func() {
		_ = steps.Close() // it ends then, and the browser with it
		_ = cmd.Wait()    // or the end of the test has killed it
	})
	return browser{t, steps, bufio.NewScanner(answers), t.ArtifactDir()}
}

// in returns the browser for a subtest.
func (b browser) in(t *testing.T) browser { return browser{t, b.steps, b.answers, b.dir} }

// do has the person do one thing, and returns what came of it.
func (b browser) do(s step) string {
	b.Helper()
	said, err := b.try(s)
	if err != nil {
		picture := filepath.Join(b.dir, "failure.png")
		_, shot := b.try(step{Do: "shot", File: picture})
		b.Fatalf("%+v: %v; the page is in %s (%v)", s, err, picture, shot)
	}
	return said
}

func (b browser) try(s step) (string, error) {
	line, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	if _, err := b.steps.Write(append(line, '\n')); err != nil {
		return "", fmt.Errorf("cannot tell the browser: %w", err)
	}
	if !b.answers.Scan() {
		return "", fmt.Errorf("the browser has ended: %w", b.answers.Err())
	}
	var answer struct{ Value, Error string }
	if err := json.Unmarshal(b.answers.Bytes(), &answer); err != nil {
		return "", err
	}
	if answer.Error != "" {
		return "", fmt.Errorf("the browser says: %s", answer.Error)
	}
	return answer.Value, nil
}

// click presses a button of the page.
func (b browser) click(name string) {
	b.Helper()
	b.do(step{Do: "click", Role: "button", Name: name})
}

// sees waits until the page shows a text.
func (b browser) sees(text string) {
	b.Helper()
	b.do(step{Do: "see", Text: text})
}

// seesIn waits until the row with some text shows another one too.
func (b browser) seesIn(row, text string) {
	b.Helper()
	b.do(step{Do: "see", Row: row, Text: text})
}

// logIn opens the page as somebody.
func (b browser) logIn(address, user string) {
	b.Helper()
	b.do(step{Do: "open", URL: "http://" + address + "/driverd", Timeout: 90000})
	b.do(step{Do: "fill", Top: true, CSS: "#login-user-input", Value: user})
	b.do(step{Do: "fill", Top: true, CSS: "#login-password-input", Value: lab.CockpitPassword})
	b.do(step{Do: "click", Top: true, CSS: "#login-button"})
	b.do(step{Do: "see", Role: "heading", Name: "Devices"})
}

// plans has the dialogue plan something, with the keyboard, until it shows a package.
func (b browser) plans(selector, pkg string) {
	b.Helper()
	b.click("Install drivers…")
	b.do(step{Do: "fill", Role: "textbox", Name: "For what", Value: selector})
	b.do(step{Do: "press", Value: "Enter"})
	b.do(step{Do: "see", Role: "row", Name: pkg})
}

// installs has the dialogue install what it has planned.
func (b browser) installs() {
	b.Helper()
	b.do(step{Do: "click", CSS: `button[form="install"]`})
}

// accessible has axe look at the page, light and dark, wide and narrow, and takes
// pictures of the first two and of a narrow one.
func (b browser) accessible(name string) {
	b.Helper()
	for _, look := range []struct {
		suffix        string
		dark          bool
		width, height int
	}{{"light", false, 1280, 900}, {"dark", true, 1280, 900}, {"narrow", true, 390, 844}, {"", false, 390, 844}} {
		b.do(step{Do: "look", Dark: look.dark, Width: look.width, Height: look.height})
		if found := b.do(step{Do: "axe"}); found != "" {
			b.Errorf("axe finds in %s (%+v):\n%s", name, look, found)
		}
		if look.suffix != "" {
			b.shot(name + "-" + look.suffix)
		}
	}
	b.do(step{Do: "look", Width: 1280, Height: 900})
}

// shot takes a picture.
func (b browser) shot(name string) {
	b.Helper()
	b.do(step{Do: "shot", File: filepath.Join(b.dir, name+".png")})
}

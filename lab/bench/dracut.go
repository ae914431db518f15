// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"net/http"
	"os"
	"path/filepath"

	"driverd/lab"
)

// Dracut races for one card whose package has dracut make an initrd.
func Dracut(ctx context.Context, o Options) (Report, error) {
	image, err := lab.BuildDracutImage(ctx, o.RPM)
	if err != nil {
		return Report{}, err
	}
	repo, err := lab.DracutRepo(ctx)
	if err != nil {
		return Report{}, err
	}
	const keyFile = "/etc/pki/rpm-gpg/lab.asc"
	key, err := os.ReadFile(filepath.Join(repo, "key.asc"))
	if err != nil {
		return Report{}, err
	}
	options := lab.Options{Image: image, Repo: http.FileServer(http.Dir(filepath.Join(repo, "repo")))}
	one := contest{name: "the same with dracut in %posttrans", goal: 0.1, of: "one card, dracut", devices: 1}
	err = with(ctx, options, boot(lab.Start{Files: map[string]string{keyFile: string(key)}}), func(g *guest) error {
		// The package would be installed without it as well.
		if err := g.sh(ctx, "rpm --import "+keyFile+"; command -v dracut"); err != nil {
			return err
		}
		return g.race(ctx, oneCard, o.Repetitions, &one.runs, driverdRuns, shellRuns)
	})
	return Report{Figures: one.figures()[:2], Timelines: map[string]Timeline{"timeline-dracut": one.timeline()}}, err
}

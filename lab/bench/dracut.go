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
	image, err := lab.BuildImage(ctx, o.RPM)
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
	one := newContest("the same with dracut in %posttrans", 0.2)
	var timeline Timeline
	err = with(ctx, options, lab.Start{Files: map[string]string{keyFile: string(key)}}, func(g *guest) error {
		if err := g.sh(ctx, "rpm --import "+keyFile); err != nil {
			return err
		}
		driverd, root, err := g.both(ctx, oneCard, false)
		one.note(driverd, root, 1)
		timeline = Timeline{{"driverd", driverd}, {"root shell", root}}
		return err
	})
	return Report{Figures: []Figure{one.elapsed, one.unpacked}, Timelines: map[string]Timeline{"timeline-dracut": timeline}}, err
}

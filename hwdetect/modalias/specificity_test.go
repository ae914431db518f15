// SPDX-License-Identifier: Apache-2.0

package modalias_test

import (
	"testing"

	"driverd/hwdetect/modalias"
)

func TestSpecificity(t *testing.T) {
	for pattern, want := range map[string]struct {
		names modalias.Specificity
		class string
	}{
		"pci:v00008086d000010C9sv*sd*bc*sc*i*":               {modalias.OfProduct, ""},
		"pci:v00008086d000010C9sv00008086sd0000A03Cbc*sc*i*": {modalias.OfProduct, ""},
		"pci:v00001095d0000064[3689]sv*sd*bc*sc*i*":          {modalias.OfProduct, ""},
		"pci:v000010DEd*sv*sd*bc03sc*i*":                     {modalias.OfVendor, "03"},
		"pci:v00001AF4d*sv*sd*bc*sc*i*":                      {modalias.OfVendor, ""},
		"pci:v*d*sv*sd*bc01sc08i02*":                         {modalias.OfClass, "010802"},
		"pci:v*d*sv*sd*bc01sc01i*":                           {modalias.OfClass, "0101"},
		"pci:v*d*sv*sd*bc0Csc03i30*":                         {modalias.OfClass, "0c0330"},
		"pci:v*d00001234sv*sd*bc*sc*i*":                      {modalias.OfClass, ""},
		"pci:v0000*d00001234sv*sd*bc*sc*i*":                  {modalias.OfClass, ""},
		"pci:v00008086d0000*sv*sd*bc*sc*i*":                  {modalias.OfVendor, ""},
		"pci:v00008086d000010C9":                             {modalias.OfClass, ""},
		"pci:v":                                              {modalias.OfClass, ""},
		"*":                                                  {modalias.OfClass, ""},
		"":                                                   {modalias.OfClass, ""},
		"pci:v*d*sv*sd*bc0[12]sc00i00*":                      {modalias.OfClass, ""},
	} {
		if got := modalias.SpecificityOf(pattern); got != want.names {
			t.Errorf("%s: specificity %d, want %d", pattern, got, want.names)
		}
		if got := modalias.Class(pattern); got != want.class {
			t.Errorf("%s: class %q, want %q", pattern, got, want.class)
		}
	}
}

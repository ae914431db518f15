// SPDX-License-Identifier: Apache-2.0

// Package cfnmatch gives tests the C library's own fnmatch(3), which they hold
// modalias.Match against. cgo is not allowed in test files, hence the package.
package cfnmatch

/*
#include <fnmatch.h>
#include <stdlib.h>
*/
import "C"

import "unsafe"

// Match says whether fnmatch(pattern, name, 0) of the C library matches. A Go
// program never calls setlocale, so the locale is "C". A NUL byte ends either
// string.
func Match(pattern, name string) bool {
	p, n := C.CString(pattern), C.CString(name)
	defer C.free(unsafe.Pointer(p))
	defer C.free(unsafe.Pointer(n))
	return C.fnmatch(p, n, 0) == 0
}

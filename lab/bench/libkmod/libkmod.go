// SPDX-License-Identifier: Apache-2.0

//go:build lab

// Package libkmod looks aliases up with the C library that modprobe and udev
// use, for benchmarks to compare with. cgo is not allowed in test files, hence
// the package.
package libkmod

/*
#cgo pkg-config: libkmod
#include <stdlib.h>
#include <libkmod.h>

static int lookup(struct kmod_ctx *ctx, const char *alias) {
	struct kmod_list *list = NULL, *l;
	int n = 0;
	if (kmod_module_new_from_lookup(ctx, alias, &list) < 0)
		return -1;
	kmod_list_foreach(l, list)
		n++;
	kmod_module_unref_list(list);
	return n;
}

static struct kmod_ctx *open_index(const char *dir) {
	const char *none = NULL;
	struct kmod_ctx *ctx = kmod_new(dir, &none);
	if (ctx && kmod_load_resources(ctx) < 0) {
		kmod_unref(ctx);
		return NULL;
	}
	return ctx;
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Index is the index of one module tree, mapped into memory as udev does it.
type Index struct{ ctx *C.struct_kmod_ctx }

// Open opens the index in dir, /lib/modules/RELEASE.
func Open(dir string) (*Index, error) {
	name := C.CString(dir)
	defer C.free(unsafe.Pointer(name))
	ctx := C.open_index(name)
	if ctx == nil {
		return nil, fmt.Errorf("cannot open the index in %s", dir)
	}
	return &Index{ctx}, nil
}

// Alias is an alias in the C library's memory.
type Alias struct{ text *C.char }

// NewAlias copies an alias. Free frees it.
func NewAlias(alias string) Alias { return Alias{C.CString(alias)} }

// Free frees the alias.
func (a Alias) Free() { C.free(unsafe.Pointer(a.text)) }

// Lookup returns how many modules claim the alias.
func (x *Index) Lookup(a Alias) int { return int(C.lookup(x.ctx, a.text)) }

// Close closes the index.
func (x *Index) Close() { C.kmod_unref(x.ctx) }
